/**
 * Messages of the control protocol: JSON-RPC 2.0, each on a line of its own.        (control plane)
 *
 * A request has an id, and named params or none. There are no batches and no notifications: who
 * asks for a change has to hear what has become of it. What goes wrong is told twice, by the number
 * that JSON-RPC has for its kind, and in `data` by our code, hint and details. Decoders check
 * everything before use and say in words what is wrong; they never throw.
 *
 * Documented for others in man/bandstand-control.7.
 */

import { type Decoded, isMethod, isRecord, type Method, type WireError } from './schema.ts';

/** Of an answer; the line feed is not counted. */
export const LINE_BYTES_MAX = 1 << 20;
/** Requests have a few hundred bytes. */
export const REQUEST_BYTES_MAX = 64 * 1024;
const ID_CHARACTERS_MAX = 128;

/** The numbers of JSON-RPC 2.0, and one of those that it leaves to servers. */
export const RPC_ERRORS = {
  parse: -32700,
  request: -32600,
  method: -32601,
  params: -32602,
  internal: -32603,
  failed: -32000,
} as const;
export type RpcErrorKind = keyof typeof RPC_ERRORS;

export type RequestId = number | string;

export interface ControlRequest {
  readonly id: RequestId;
  readonly method: Method;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Why a line is no request; `id` is that of the line, if it has one. */
export interface RefusedRequest {
  readonly why: string;
  readonly kind: RpcErrorKind;
  readonly id: RequestId | null;
}

export type ControlResponse =
  | { readonly id: RequestId; readonly result: unknown }
  | { readonly id: RequestId | null; readonly error: WireError };

const line = (message: object): string => `${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`;

/**
 * Servers of builds before JSON-RPC have an envelope of their own, known by its version. They are
 * asked in both at once, and their answers are understood, so that an upgrade can replace them.
 */
const EARLIER_VERSION = 1;

export function encodeRequest(request: ControlRequest): string {
  return line({ v: EARLIER_VERSION, ...request });
}

export function encodeResult(id: RequestId, result: unknown): string {
  return line({ id, result: result ?? null });
}

export function encodeError(
  id: RequestId | null,
  { code, message, hint, details }: WireError,
  kind: RpcErrorKind = kindOf(code),
): string {
  const data = { code, hint, details };
  return line({ id, error: { code: RPC_ERRORS[kind], message, data } });
}

/** Of an error that carrying a request out has ended with. */
function kindOf(code: string): RpcErrorKind {
  if (code === 'BANDSTAND_CONTROL_PROTOCOL') return 'params';
  return code === 'BANDSTAND_DEFECT' ? 'internal' : 'failed';
}

export function decodeRequest(text: string): { readonly value: ControlRequest } | RefusedRequest {
  const message = decodeMessage(text);
  if ('why' in message) return { ...message, id: null };
  if (!isJsonRpc(message.value))
    return { why: 'it is not JSON-RPC 2.0', kind: 'request', id: null };
  const { id, method, params } = message.value;
  if (!isId(id)) return { why: 'the id is not a number or text', kind: 'request', id: null };
  if (typeof method !== 'string') return { why: 'the method is missing', kind: 'request', id };
  if (!isMethod(method)) return { why: 'the method is unknown', kind: 'method', id };
  if (params !== undefined && !isRecord(params)) {
    return { why: 'params is not an object', kind: 'params', id };
  }
  return { value: { id, method, params: params ?? {} } };
}

export function decodeResponse(text: string): Decoded<ControlResponse> {
  const message = decodeMessage(text);
  if ('why' in message) return message;
  if (!isJsonRpc(message.value) && message.value['v'] !== EARLIER_VERSION) {
    return { why: 'it is not JSON-RPC 2.0' };
  }
  const { id, result, error } = message.value;
  if (error !== undefined) {
    const wire = decodeWireError(error);
    if (wire === null) return { why: 'the error has no code and message' };
    return { value: { id: isId(id) ? id : null, error: wire } };
  }
  if (!isId(id)) return { why: 'the id is not a number or text' };
  return { value: { id, result: result ?? null } };
}

function decodeWireError(value: unknown): WireError | null {
  if (!isRecord(value)) return null;
  const { message, data } = value;
  // In the earlier envelope they are beside the message.
  const { code, hint, details } = isRecord(data) ? data : value;
  if (typeof code !== 'string' || typeof message !== 'string') return null;
  return {
    code,
    message,
    hint: typeof hint === 'string' ? hint : null,
    details: isRecord(details) ? details : {},
  };
}

function decodeMessage(
  text: string,
):
  | { readonly value: Record<string, unknown> }
  | { readonly why: string; readonly kind: 'parse' | 'request' } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { why: 'the line is not JSON', kind: 'parse' };
  }
  if (!isRecord(value)) return { why: 'the line is not an object', kind: 'request' };
  return { value };
}

function isJsonRpc(message: Readonly<Record<string, unknown>>): boolean {
  return message['jsonrpc'] === '2.0';
}

function isId(value: unknown): value is RequestId {
  if (typeof value === 'string') return value.length <= ID_CHARACTERS_MAX;
  return Number.isSafeInteger(value);
}
