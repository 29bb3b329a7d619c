export const nothing = null

export function named () {
  return 'named'
}
