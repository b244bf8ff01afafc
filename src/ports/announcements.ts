/** What one node tells the others. Losing one is harmless: whoever listens also looks by itself from time to time. */
export type Topic = 'signing-keys' | 'clients';

export interface Announcements {
  announce(topic: Topic): Promise<void>;
  /** Calls `listener` whenever any node, this one included, announces the topic. */
  listen(topic: Topic, listener: () => void): void;
  /** Rejects when the other nodes can't be reached. */
  ping(): Promise<void>;
}
