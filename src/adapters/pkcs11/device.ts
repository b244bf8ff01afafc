/**
 * One session with a token. Every call waits for the device, so this runs in a thread of its own (thread.ts). A session
 * does one thing at a time.
 */
import { createRequire } from 'node:module';
import type { JWK } from 'jose';
import type { Handle, PKCS11, Template } from 'pkcs11js';
import type { SigningAlg } from '../../domain/types.js';
import { schemes } from './schemes.js';

export interface DeviceSettings {
  /** Path of the device's PKCS #11 library. */
  module: string;
  /** The token's label. */
  token: string;
  pin: string;
}

/** What is asked of a session; each is answered with the result of the method of that name. */
export type Job =
  | { do: 'connect' }
  | { do: 'ensureSupport'; alg: SigningAlg }
  | { do: 'generate'; alg: SigningAlg; id: Uint8Array }
  | { do: 'rename'; id: Uint8Array; label: string }
  | { do: 'ensureKey'; id: Uint8Array }
  | { do: 'sign'; alg: SigningAlg; id: Uint8Array; input: Uint8Array }
  | { do: 'destroy'; id: Uint8Array }
  | { do: 'list' };

export interface Device {
  /** Begins the session, a new one if there was one. Throws with the name CKR_… as its message, as all of these may. */
  connect(): void;
  ensureSupport(alg: SigningAlg): void;
  /** The public part; the private one is in the token, under the id, and cannot be taken out of it. */
  generate(alg: SigningAlg, id: Uint8Array): JWK;
  rename(id: Uint8Array, label: string): void;
  /** Asks the token, whatever was found before. */
  ensureKey(id: Uint8Array): void;
  sign(alg: SigningAlg, id: Uint8Array, input: Uint8Array): Uint8Array;
  destroy(id: Uint8Array): void;
  /** Every private key in the token, whoever made it. */
  list(): Listed[];
}

export interface Listed {
  id: Uint8Array;
  label: string;
}

const CKF_OS_LOCKING_OK = 2;
const CKF_RW_SESSION = 2;
const CKF_SERIAL_SESSION = 4;
const CKU_USER = 1;
const CKO_PRIVATE_KEY = 3;
const CKA_CLASS = 0x0000;
const CKA_TOKEN = 0x0001;
const CKA_PRIVATE = 0x0002;
const CKA_LABEL = 0x0003;
const CKA_ID = 0x0102;
const CKA_SENSITIVE = 0x0103;
const CKA_DECRYPT = 0x0105;
const CKA_UNWRAP = 0x0107;
const CKA_SIGN = 0x0108;
const CKA_VERIFY = 0x010a;
const CKA_EXTRACTABLE = 0x0162;

/** The label of a key until it is known to sign, and has its own. */
export const NEW_KEY = 'keyturn';
/** How many objects are asked for at one time. */
const PAGE = 100;
/** Longer than any signature here. */
const SIGNATURE_BYTES = 1024;

/** Resolved by `require`, which looks into NODE_PATH too: the package may be installed apart from the service. */
export function loadPackage(name = 'pkcs11js'): typeof import('pkcs11js') {
  try {
    return createRequire(import.meta.url)(name);
  } catch (cause) {
    const absent = (cause as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND';
    const what = absent ? 'is not installed, or was not built' : `cannot be loaded (${(cause as Error).message})`;
    throw new Error(`SIGNER=pkcs11 needs the package ${name}, which ${what}: see docs/hsm.md`, { cause });
  }
}

function unless(harmless: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    if ((error as Error).message !== harmless) throw error;
  }
}

export function openDevice({ module, token, pin }: DeviceSettings): Device {
  const library = loadLibrary(module);
  let slot: Handle | null = null;
  let session: Handle | null = null;
  const known = new Map<string, Handle>();

  function connected(): { slot: Handle; session: Handle } {
    if (slot === null || session === null) throw new Error('CKR_SESSION_CLOSED');
    return { slot, session };
  }

  function objects(template: Template): Handle[] {
    const { session } = connected();
    library.C_FindObjectsInit(session, template);
    try {
      const found: Handle[] = [];
      for (;;) {
        const page = library.C_FindObjects(session, PAGE);
        if (page.length === 0) return found;
        found.push(...page);
      }
    } finally {
      library.C_FindObjectsFinal(session);
    }
  }

  function keyOf(id: Uint8Array): Handle {
    const name = Buffer.from(id).toString('hex');
    const cached = known.get(name);
    if (cached !== undefined) return cached;
    const [key, another] = objects([
      { type: CKA_CLASS, value: CKO_PRIVATE_KEY },
      { type: CKA_ID, value: Buffer.from(id) },
    ]);
    if (key === undefined) throw new Error(`the token ${token} has no private key with the id ${name}`);
    if (another !== undefined) throw new Error(`the token ${token} has several private keys with the id ${name}`);
    known.set(name, key);
    return key;
  }

  const forget = (id: Uint8Array) => known.delete(Buffer.from(id).toString('hex'));

  const device: Device = {
    connect() {
      const last = session;
      slot = null;
      session = null;
      known.clear();
      if (last !== null) {
        try {
          library.C_CloseSession(last);
        } catch {
          // It was lost: that is why there is to be another.
        }
      }
      const found = slotOf(library, token);
      const fresh = library.C_OpenSession(found, CKF_SERIAL_SESSION | CKF_RW_SESSION);
      try {
        unless('CKR_USER_ALREADY_LOGGED_IN', () => library.C_Login(fresh, CKU_USER, pin));
      } catch (error) {
        library.C_CloseSession(fresh);
        throw error;
      }
      slot = found;
      session = fresh;
    },

    ensureSupport(alg) {
      const { generate, mechanism } = schemes[alg];
      const offered = library.C_GetMechanismList(connected().slot);
      if (!offered.includes(generate) || !offered.includes(mechanism.mechanism))
        throw new Error(`the token ${token} has no keys for ${alg}`);
    },

    generate(alg, id) {
      device.ensureSupport(alg);
      const { session } = connected();
      const { generate, publicTemplate, publicParts, jwk } = schemes[alg];
      const pair = library.C_GenerateKeyPair(
        session,
        { mechanism: generate },
        // The public part is in the JWKS. In the token it would only be in the way.
        [...publicTemplate, { type: CKA_TOKEN, value: false }, { type: CKA_VERIFY, value: true }],
        [
          { type: CKA_TOKEN, value: true },
          { type: CKA_PRIVATE, value: true },
          { type: CKA_SENSITIVE, value: true },
          { type: CKA_EXTRACTABLE, value: false },
          { type: CKA_SIGN, value: true },
          { type: CKA_DECRYPT, value: false },
          { type: CKA_UNWRAP, value: false },
          { type: CKA_ID, value: Buffer.from(id) },
          { type: CKA_LABEL, value: NEW_KEY },
        ],
      );
      try {
        const wanted = publicParts.map((type) => ({ type }));
        const publicJwk = jwk(library.C_GetAttributeValue(session, pair.publicKey, wanted).map(({ value }) => value));
        library.C_DestroyObject(session, pair.publicKey);
        return publicJwk;
      } catch (error) {
        library.C_DestroyObject(session, pair.privateKey);
        throw error;
      }
    },

    rename(id, label) {
      library.C_SetAttributeValue(connected().session, keyOf(id), [{ type: CKA_LABEL, value: label }]);
    },

    ensureKey(id) {
      forget(id);
      keyOf(id);
    },

    sign(alg, id, input) {
      const { session } = connected();
      const { mechanism, prepare } = schemes[alg];
      library.C_SignInit(session, mechanism, keyOf(id));
      return library.C_Sign(session, prepare(Buffer.from(input)), Buffer.alloc(SIGNATURE_BYTES));
    },

    destroy(id) {
      const { session } = connected();
      for (const object of objects([{ type: CKA_ID, value: Buffer.from(id) }]))
        library.C_DestroyObject(session, object);
      forget(id);
    },

    list() {
      const { session } = connected();
      const listed: Listed[] = [];
      for (const key of objects([{ type: CKA_CLASS, value: CKO_PRIVATE_KEY }])) {
        // Somebody else's key may have neither.
        unless('CKR_ATTRIBUTE_TYPE_INVALID', () => {
          const [id, label] = library.C_GetAttributeValue(session, key, [{ type: CKA_ID }, { type: CKA_LABEL }]);
          if (id && label) listed.push({ id: id.value, label: label.value.toString() });
        });
      }
      return listed;
    },
  };
  return device;
}

function loadLibrary(module: string): PKCS11 {
  const library = new (loadPackage().PKCS11)();
  try {
    library.load(module);
  } catch (cause) {
    throw new Error('PKCS11_MODULE: cannot be loaded as a PKCS #11 library', { cause });
  }
  // The state of the library is the process's, not the thread's.
  unless('CKR_CRYPTOKI_ALREADY_INITIALIZED', () => library.C_Initialize({ flags: CKF_OS_LOCKING_OK }));
  return library;
}

function slotOf(library: PKCS11, token: string): Handle {
  // Labels are filled up with blanks.
  const slots = library.C_GetSlotList(true).filter((slot) => library.C_GetTokenInfo(slot).label.trimEnd() === token);
  const [slot] = slots;
  if (slot === undefined) throw new Error('PKCS11_TOKEN: the device has no token with this label');
  if (slots.length > 1) throw new Error('PKCS11_TOKEN: the device has several tokens with this label');
  return slot;
}
