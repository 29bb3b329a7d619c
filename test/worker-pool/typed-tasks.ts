export default function square (number: number): number {
  return number ** 2
}
