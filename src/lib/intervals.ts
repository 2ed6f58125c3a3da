/**
 * Which of many key intervals contain a key. A treap ordered by start, each node knowing the
 * greatest end below it: adding, removing and each answer found cost O(log n).
 *
 *   [a,f) max h
 *    ├─ [a,c) max c
 *    └─ [d,h) max h      asking for "g": the left subtree ends at c, it is not entered
 */
import type { ByteString } from "./bytes.ts";

interface Node<T> {
  readonly start: ByteString;
  /** Undefined: no upper bound. */
  readonly end: ByteString | undefined;
  readonly values: Set<T>;
  readonly priority: number;
  left: Node<T> | undefined;
  right: Node<T> | undefined;
  /** The greatest end of the subtree; undefined: no upper bound. */
  maxEnd: ByteString | undefined;
}

export class Intervals<T> {
  #root: Node<T> | undefined;
  #intervals = 0;
  #counter = 0;

  /** How many different intervals are in it. */
  get count(): number {
    return this.#intervals;
  }

  /** Whether there is a value under exactly [start, end). */
  has(start: ByteString, end: ByteString | undefined): boolean {
    let node = this.#root;
    while (node !== undefined) {
      const side = order(start, end, node);
      if (side === 0) return true;
      node = side < 0 ? node.left : node.right;
    }
    return false;
  }

  /** Adds `value` under [start, end), or [start, …) without an end. */
  add(start: ByteString, end: ByteString | undefined, value: T): void {
    this.#root = this.#insert(this.#root, start, end, value);
  }

  /** Removes `value` from under [start, end); nothing happens when it is not there. */
  remove(start: ByteString, end: ByteString | undefined, value: T): void {
    this.#root = this.#erase(this.#root, start, end, value);
  }

  /** Calls `visit` with every value whose interval contains `key`, in order of start. */
  each(key: ByteString, visit: (value: T) => void): void {
    walk(this.#root, key, visit);
  }

  #insert(
    node: Node<T> | undefined,
    start: ByteString,
    end: ByteString | undefined,
    value: T,
  ): Node<T> {
    if (node === undefined) {
      this.#intervals++;
      const priority = scrambled(this.#counter++);
      const values = new Set([value]);
      return { start, end, values, priority, left: undefined, right: undefined, maxEnd: end };
    }
    const side = order(start, end, node);
    if (side === 0) {
      node.values.add(value);
      return node;
    }
    if (side < 0) node.left = this.#insert(node.left, start, end, value);
    else node.right = this.#insert(node.right, start, end, value);
    return lifted(node);
  }

  #erase(
    node: Node<T> | undefined,
    start: ByteString,
    end: ByteString | undefined,
    value: T,
  ): Node<T> | undefined {
    if (node === undefined) return undefined;
    const side = order(start, end, node);
    if (side < 0) node.left = this.#erase(node.left, start, end, value);
    else if (side > 0) node.right = this.#erase(node.right, start, end, value);
    else {
      node.values.delete(value);
      if (node.values.size > 0) return node;
      this.#intervals--;
      return merged(node.left, node.right);
    }
    return updated(node);
  }
}

function walk<T>(node: Node<T> | undefined, key: ByteString, visit: (value: T) => void): void {
  if (node === undefined || !endsAfter(node.maxEnd, key)) return;
  walk(node.left, key, visit);
  if (node.start > key) return;
  if (endsAfter(node.end, key)) for (const value of node.values) visit(value);
  walk(node.right, key, visit);
}

function endsAfter(end: ByteString | undefined, key: ByteString): boolean {
  return end === undefined || key < end;
}

/** Negative, zero or positive as [start, end) sorts before, at or after the node; open ends last. */
function order<T>(start: ByteString, end: ByteString | undefined, node: Node<T>): number {
  if (start !== node.start) return start < node.start ? -1 : 1;
  if (end === node.end) return 0;
  if (end === undefined) return 1;
  return node.end === undefined || end < node.end ? -1 : 1;
}

/** Restores the heap order at a node whose child may have a higher priority. */
function lifted<T>(node: Node<T>): Node<T> {
  const { left, right } = node;
  if (left !== undefined && left.priority > node.priority) {
    node.left = left.right;
    updated(node);
    left.right = node;
    return updated(left);
  }
  if (right !== undefined && right.priority > node.priority) {
    node.right = right.left;
    updated(node);
    right.left = node;
    return updated(right);
  }
  return updated(node);
}

/** One tree of two, everything in `left` sorting before everything in `right`. */
function merged<T>(left: Node<T> | undefined, right: Node<T> | undefined): Node<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = merged(left.right, right);
    return updated(left);
  }
  right.left = merged(left, right.left);
  return updated(right);
}

function updated<T>(node: Node<T>): Node<T> {
  let max = node.end;
  for (const child of [node.left, node.right]) {
    if (child === undefined || max === undefined) continue;
    if (child.maxEnd === undefined || child.maxEnd > max) max = child.maxEnd;
  }
  node.maxEnd = max;
  return node;
}

/** A well-mixed 32-bit number for each counter value: priorities need spread, not secrecy. */
function scrambled(counter: number): number {
  let mixed = Math.imul(counter ^ (counter >>> 16), 0x45d9f3b);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
