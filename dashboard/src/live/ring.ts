// Containers that never grow beyond their bound.

/** The latest values, oldest first. */
export class Ring {
  private readonly values: Float64Array;
  private next = 0;
  private filled = 0;

  constructor(readonly capacity: number) {
    this.values = new Float64Array(capacity);
  }

  get length(): number {
    return this.filled;
  }

  push(value: number): void {
    this.values[this.next] = value;
    this.next = (this.next + 1) % this.capacity;
    this.filled = Math.min(this.filled + 1, this.capacity);
  }

  last(): number | undefined {
    if (this.filled === 0) return undefined;
    return this.values[(this.next + this.capacity - 1) % this.capacity];
  }

  toArray(): number[] {
    const first = (this.next + this.capacity - this.filled) % this.capacity;
    return Array.from({ length: this.filled }, (_, at) => this.values[(first + at) % this.capacity] ?? 0);
  }
}

/** The entries that were set last. */
export class LatestMap<K, V> {
  private readonly entries = new Map<K, V>();

  constructor(readonly capacity: number) {}

  get size(): number {
    return this.entries.size;
  }

  get(key: K): V | undefined {
    return this.entries.get(key);
  }

  set(key: K, value: V): void {
    // A map iterates in the order of insertion, so the first key is the one that was set the longest ago.
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size > this.capacity) {
      const oldest = this.entries.keys().next();
      if (!oldest.done) this.entries.delete(oldest.value);
    }
  }

  delete(key: K): boolean {
    return this.entries.delete(key);
  }

  clear(): void {
    this.entries.clear();
  }

  values(): IterableIterator<V> {
    return this.entries.values();
  }
}
