// A first-in-first-out line threaded through its members themselves: joining, leaving from anywhere and taking
// the first are O(1) and allocate nothing, so a client that gives up costs no search.
//
//        first                              last
//          │                                 │
//          ▼                                 ▼
//       ┌──────┐  next   ┌──────┐  next   ┌──────┐
//   ∅ ◀─│member│────────▶│member│────────▶│member│─▶ ∅
//       └──────┘◀────────└──────┘◀────────└──────┘
//                 prev               prev

export abstract class Link {
  next: Link | undefined = undefined
  prev: Link | undefined = undefined
  /** When it joined the line it stands in, in the clock's milliseconds. */
  since = 0
}

export class Line<T extends Link> {
  first: T | undefined = undefined
  last: T | undefined = undefined
  size = 0

  push (link: T): void {
    link.prev = this.last
    link.next = undefined
    if (this.last === undefined) this.first = link
    else this.last.next = link
    this.last = link
    this.size++
  }

  /** False when the link stands in no line; it must not stand in another one. */
  remove (link: T): boolean {
    if (link.prev === undefined && this.first !== link) return false
    if (link.prev === undefined) this.first = link.next as T | undefined
    else link.prev.next = link.next
    if (link.next === undefined) this.last = link.prev as T | undefined
    else link.next.prev = link.prev
    link.next = link.prev = undefined
    this.size--
    return true
  }
}
