// The package is installed by those alone who have a device; this is the part of its types that is used here.
declare module 'pkcs11js' {
  type Handle = Buffer;
  type Template = { type: number; value?: number | boolean | string | Buffer }[];
  interface Mechanism {
    mechanism: number;
    parameter?: { type: number; hashAlg: number; mgf: number; saltLen: number };
  }

  export class PKCS11 {
    load(path: string): void;
    C_Initialize(options: { flags: number }): void;
    C_GetSlotList(tokenPresent: boolean): Handle[];
    C_GetTokenInfo(slot: Handle): { label: string };
    C_GetMechanismList(slot: Handle): number[];
    C_OpenSession(slot: Handle, flags: number): Handle;
    C_CloseSession(session: Handle): void;
    C_CloseAllSessions(slot: Handle): void;
    C_Login(session: Handle, userType: number, pin: string): void;
    C_SetPIN(session: Handle, oldPin: string, newPin: string): void;
    C_FindObjectsInit(session: Handle, template: Template): void;
    C_FindObjects(session: Handle, max: number): Handle[];
    C_FindObjectsFinal(session: Handle): void;
    C_GenerateKeyPair(
      session: Handle,
      mechanism: Mechanism,
      publicKey: Template,
      privateKey: Template,
    ): { publicKey: Handle; privateKey: Handle };
    C_GetAttributeValue(session: Handle, object: Handle, template: Template): { value: Buffer }[];
    C_SetAttributeValue(session: Handle, object: Handle, template: Template): void;
    C_DestroyObject(session: Handle, object: Handle): void;
    C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
    C_Sign(session: Handle, data: Buffer, signature: Buffer): Buffer;
  }
}
