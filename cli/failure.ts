// What a command cannot do, as a sentence for its user: printed without a stack.

export class Failure extends Error {}
