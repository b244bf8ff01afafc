/** Passwords that are known from breaches. */
export interface BreachedPasswords {
  /** False also where it cannot be told at the moment: nobody is kept out because a list is away. Never rejects. */
  has(password: string): Promise<boolean>;
}

/** Where nobody brings a list. */
export const noneBreached: BreachedPasswords = { has: async () => false };
