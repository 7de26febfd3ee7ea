/**
 * Negotiation: the handshake of one client, fixed newstyle.                         (control plane)
 *
 * A state machine over bytes, without sockets: the connection gives it what has arrived and sends
 * what it answers. It takes at most one option per call, so that a client who does not read its
 * answers is not served further ones. Names, counts and lengths come from a stranger: each is
 * checked before it is used, an option that is too long is skipped and refused (ERR_TOO_BIG), a
 * broken stream ends the connection, and the number of options is limited.
 *
 * There is one export; the empty name means it too.
 *
 * TLS is either not offered (STARTTLS is answered with ERR_UNSUP) or required from the first option
 * on, which the protocol calls FORCEDTLS: before it, everything but STARTTLS and ABORT is refused.
 * So nothing that a stranger on the way has put in front of TLS is in force behind it. Encryption
 * itself is the connection's business: it calls `secured` when what comes was encrypted.
 */

import { assert } from '../../block/assert.ts';
import type { NbdExportInfo } from './export-info.ts';
import {
  ALLOCATION_CONTEXT_ID,
  ALLOCATION_CONTEXT_NAME,
  CLIENT_FLAGS_BYTES,
  FLAG_FIXED_NEWSTYLE,
  FLAG_NO_ZEROES,
  GREETING_BYTES,
  GREETING_MAGIC_HIGH,
  GREETING_MAGIC_LOW,
  INFO_BLOCK_SIZE,
  INFO_DESCRIPTION,
  INFO_EXPORT,
  INFO_NAME,
  OPT_ABORT,
  OPT_EXPORT_NAME,
  OPT_GO,
  OPT_INFO,
  OPT_LIST,
  OPT_LIST_META_CONTEXT,
  OPT_SET_META_CONTEXT,
  OPT_STARTTLS,
  OPT_STRUCTURED_REPLY,
  OPTION_HEADER_BYTES,
  OPTION_MAGIC_HIGH,
  OPTION_MAGIC_LOW,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_MAGIC_HIGH,
  OPTION_REPLY_MAGIC_LOW,
  REP_ACK,
  REP_ERR_INVALID,
  REP_ERR_TLS_REQD,
  REP_ERR_TOO_BIG,
  REP_ERR_UNKNOWN,
  REP_ERR_UNSUP,
  REP_INFO,
  REP_META_CONTEXT,
  REP_SERVER,
  STRING_BYTES_MAX,
  TRANSMIT_DF,
} from './protocol.ts';

/** Data of an option that is looked at; longer ones are skipped and refused. */
export const OPTION_DATA_BYTES_MAX = 16_384;
/** A length beyond this is not an option but an attack or a lost stream. */
const OPTION_SKIP_BYTES_MAX = 2 ** 20;
export const OPTIONS_MAX = 128;
const EXPORT_NAME_ZEROES = 124;
/** No call answers with more: greeting, or one option with all its information. */
export const NEGOTIATION_OUTPUT_BYTES_MAX = 16_384;

/** 'starttls': the client has been told to begin with TLS, and nothing is taken until `secured`. */
export type NegotiationState = 'flags' | 'options' | 'starttls' | 'transmission' | 'closed';

interface Option {
  readonly option: number;
  readonly data: Uint8Array;
}

interface NamedRequest {
  readonly name: string;
  /** Requested information types, or context queries. */
  readonly items: readonly number[];
  readonly queries: readonly string[];
}

export class Negotiation {
  state: NegotiationState = 'flags';
  /** Why the state is 'closed', for people; null after a proper end. */
  failure: string | null = null;
  structuredReplies = false;
  /** True when the client was told the block sizes on its own request, and so must keep to them. */
  blockSizesKnown = false;
  readonly #info: NbdExportInfo;
  /** TLS is required; false when there is none. */
  readonly #tls: boolean;
  #secured = false;
  readonly #output: Uint8Array[] = [];
  #noZeroes = false;
  #options = 0;
  #skipBytes = 0;
  /** The export that `base:allocation` was selected for; null when it was not. */
  #contextExport: string | null = null;
  #allocationContext = false;

  constructor(info: NbdExportInfo, tls: boolean) {
    this.#info = info;
    this.#tls = tls;
    const greeting = new Uint8Array(GREETING_BYTES);
    const view = new DataView(greeting.buffer);
    view.setUint32(0, GREETING_MAGIC_HIGH);
    view.setUint32(4, GREETING_MAGIC_LOW);
    view.setUint32(8, OPTION_MAGIC_HIGH);
    view.setUint32(12, OPTION_MAGIC_LOW);
    view.setUint16(16, FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES);
    this.#output.push(greeting);
  }

  /** True when the client may send BLOCK_STATUS in the transmission phase. */
  get allocationContext(): boolean {
    return this.#allocationContext;
  }

  /** TLS is set up; what comes now was encrypted. */
  secured(): void {
    assert(this.state === 'starttls', 'a client is secured once, after it has asked for it');
    this.#secured = true;
    this.state = 'options';
  }

  /** What is to be sent now; empty when there is nothing. */
  takeOutput(): Uint8Array {
    const bytes = concatenate(this.#output);
    this.#output.length = 0;
    return bytes;
  }

  /** Takes the flags, one option, or bytes to be skipped from `input`; returns how many bytes. */
  consume(input: Uint8Array): number {
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, input.length);
      this.#skipBytes -= skipped;
      return skipped;
    }
    if (this.state === 'flags') return this.#consumeFlags(input);
    if (this.state === 'options') return this.#consumeOption(input);
    return 0;
  }

  #close(failure: string | null): void {
    this.state = 'closed';
    this.failure = failure;
  }

  #consumeFlags(input: Uint8Array): number {
    if (input.length < CLIENT_FLAGS_BYTES) return 0;
    const flags = viewOf(input).getUint32(0);
    if ((flags & ~(FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES)) !== 0) {
      this.#close(`unknown client flags 0x${flags.toString(16)}`);
    } else {
      this.#noZeroes = (flags & FLAG_NO_ZEROES) !== 0;
      this.state = 'options';
    }
    return CLIENT_FLAGS_BYTES;
  }

  #consumeOption(input: Uint8Array): number {
    if (input.length < OPTION_HEADER_BYTES) return 0;
    const view = viewOf(input);
    if (view.getUint32(0) !== OPTION_MAGIC_HIGH || view.getUint32(4) !== OPTION_MAGIC_LOW) {
      this.#close('an option without its magic number');
      return OPTION_HEADER_BYTES;
    }
    const option = view.getUint32(8);
    const length = view.getUint32(12);
    if (length > OPTION_DATA_BYTES_MAX) {
      this.#countOption();
      this.#refuseLongOption(option, length);
      return OPTION_HEADER_BYTES;
    }
    if (input.length < OPTION_HEADER_BYTES + length) return 0;
    if (this.#countOption()) {
      const data = input.subarray(OPTION_HEADER_BYTES, OPTION_HEADER_BYTES + length);
      this.#answer({ option, data });
    }
    return OPTION_HEADER_BYTES + length;
  }

  #countOption(): boolean {
    this.#options += 1;
    if (this.#options <= OPTIONS_MAX) return true;
    this.#close(`more than ${OPTIONS_MAX} options`);
    return false;
  }

  #refuseLongOption(option: number, length: number): void {
    if (this.state === 'closed') return;
    if (option === OPT_EXPORT_NAME || length > OPTION_SKIP_BYTES_MAX) {
      this.#close(`option ${option} with ${length} bytes of data`);
      return;
    }
    this.#skipBytes = length;
    if (this.#wantsTlsFirst) {
      this.#refuseBeforeTls(option);
      return;
    }
    this.#refuse(
      option,
      REP_ERR_TOO_BIG,
      `option data is limited to ${OPTION_DATA_BYTES_MAX} bytes`,
    );
  }

  get #wantsTlsFirst(): boolean {
    return this.#tls && !this.#secured;
  }

  #answerBeforeTls(option: Option): void {
    if (option.option === OPT_EXPORT_NAME) {
      this.#close('the client does not use TLS');
    } else if (option.option === OPT_ABORT) {
      this.#abort();
    } else if (option.option !== OPT_STARTTLS) {
      this.#refuseBeforeTls(option.option);
    } else if (option.data.length > 0) {
      this.#invalid(option, 'the option takes no data');
    } else {
      this.#reply(OPT_STARTTLS, REP_ACK);
      this.state = 'starttls';
    }
  }

  #refuseBeforeTls(option: number): void {
    this.#refuse(option, REP_ERR_TLS_REQD, 'this server requires TLS');
  }

  #abort(): void {
    this.#reply(OPT_ABORT, REP_ACK);
    this.#close(null);
  }

  #answer(option: Option): void {
    if (this.#wantsTlsFirst) {
      this.#answerBeforeTls(option);
      return;
    }
    switch (option.option) {
      case OPT_EXPORT_NAME:
        this.#exportName(option);
        return;
      case OPT_ABORT:
        this.#abort();
        return;
      case OPT_LIST:
        this.#list(option);
        return;
      case OPT_INFO:
      case OPT_GO:
        this.#infoOrGo(option);
        return;
      case OPT_STRUCTURED_REPLY:
        if (option.data.length > 0) {
          this.#invalid(option, 'the option takes no data');
          return;
        }
        this.structuredReplies = true;
        this.#reply(OPT_STRUCTURED_REPLY, REP_ACK);
        return;
      case OPT_LIST_META_CONTEXT:
      case OPT_SET_META_CONTEXT:
        this.#metaContext(option);
        return;
      case OPT_STARTTLS:
        if (this.#secured) this.#invalid(option, 'TLS is in use already');
        else this.#refuse(OPT_STARTTLS, REP_ERR_UNSUP, 'this server does not offer TLS');
        return;
      default:
        this.#refuse(option.option, REP_ERR_UNSUP, `option ${option.option} is not known`);
        return;
    }
  }

  /** The oldest way in: no error reply exists, so an unknown name ends the connection. */
  #exportName(option: Option): void {
    const name = decodeString(option.data);
    if (name === null || !this.#isExport(name)) {
      this.#close('unknown export name');
      return;
    }
    const reply = new Uint8Array(10 + (this.#noZeroes ? 0 : EXPORT_NAME_ZEROES));
    const view = new DataView(reply.buffer);
    view.setBigUint64(0, BigInt(this.#info.sizeBytes));
    view.setUint16(8, this.#transmissionFlags());
    this.#output.push(reply);
    this.#enterTransmission(name);
  }

  #list(option: Option): void {
    if (option.data.length > 0) {
      this.#invalid(option, 'the option takes no data');
      return;
    }
    const name = encodeString(this.#info.name);
    const data = new Uint8Array(4 + name.length + encodeString(this.#info.description).length);
    new DataView(data.buffer).setUint32(0, name.length);
    data.set(name, 4);
    data.set(encodeString(this.#info.description), 4 + name.length);
    this.#reply(OPT_LIST, REP_SERVER, data);
    this.#reply(OPT_LIST, REP_ACK);
  }

  #infoOrGo(option: Option): void {
    const request = parseInfoRequest(option.data);
    if (request === null) {
      this.#invalid(option, 'name or information requests are malformed');
      return;
    }
    if (!this.#isExport(request.name)) {
      this.#refuseExport(option);
      return;
    }
    this.#sendInformation(option.option, request.items);
    this.#reply(option.option, REP_ACK);
    if (option.option !== OPT_GO) return;
    this.blockSizesKnown = request.items.includes(INFO_BLOCK_SIZE);
    this.#enterTransmission(request.name);
  }

  #sendInformation(option: number, items: readonly number[]): void {
    const info = this.#info;
    const general = infoData(INFO_EXPORT, 10);
    general.setBigUint64(2, BigInt(info.sizeBytes));
    general.setUint16(10, this.#transmissionFlags());
    this.#reply(option, REP_INFO, bytesOf(general));
    if (items.includes(INFO_NAME)) {
      this.#reply(option, REP_INFO, infoText(INFO_NAME, info.name));
    }
    if (items.includes(INFO_DESCRIPTION) && info.description !== '') {
      this.#reply(option, REP_INFO, infoText(INFO_DESCRIPTION, info.description));
    }
    if (items.includes(INFO_BLOCK_SIZE)) {
      const sizes = infoData(INFO_BLOCK_SIZE, 12);
      sizes.setUint32(2, info.blockBytesMin);
      sizes.setUint32(6, info.blockBytesPreferred);
      sizes.setUint32(10, info.blockBytesMax);
      this.#reply(option, REP_INFO, bytesOf(sizes));
    }
  }

  #metaContext(option: Option): void {
    const select = option.option === OPT_SET_META_CONTEXT;
    if (select) this.#contextExport = null;
    const request = parseContextRequest(option.data);
    if (request === null) {
      this.#invalid(option, 'name or context queries are malformed');
      return;
    }
    if (!this.structuredReplies) {
      this.#invalid(option, 'structured replies have to be negotiated first');
      return;
    }
    if (!this.#isExport(request.name)) {
      this.#refuseExport(option);
      return;
    }
    const listsAll = !select && (request.queries.length === 0 || request.queries.includes('base:'));
    if (listsAll || request.queries.includes(ALLOCATION_CONTEXT_NAME)) {
      const name = encodeString(ALLOCATION_CONTEXT_NAME);
      const data = new Uint8Array(4 + name.length);
      new DataView(data.buffer).setUint32(0, select ? ALLOCATION_CONTEXT_ID : 0);
      data.set(name, 4);
      this.#reply(option.option, REP_META_CONTEXT, data);
      if (select) this.#contextExport = request.name;
    }
    this.#reply(option.option, REP_ACK);
  }

  /** Contexts hold only for the very name they were selected for. */
  #enterTransmission(name: string): void {
    this.#allocationContext = this.#contextExport === name;
    this.state = 'transmission';
  }

  #isExport(name: string): boolean {
    return name === '' || name === this.#info.name;
  }

  #transmissionFlags(): number {
    return this.#info.transmissionFlags | (this.structuredReplies ? TRANSMIT_DF : 0);
  }

  /** The answer does not repeat the stranger's text. */
  #refuseExport(option: Option): void {
    this.#refuse(option.option, REP_ERR_UNKNOWN, `the export here is named '${this.#info.name}'`);
  }

  #invalid(option: Option, message: string): void {
    this.#refuse(option.option, REP_ERR_INVALID, message);
  }

  #refuse(option: number, type: number, message: string): void {
    this.#reply(option, type, encodeString(message));
  }

  #reply(option: number, type: number, data: Uint8Array = new Uint8Array(0)): void {
    const header = new Uint8Array(OPTION_REPLY_HEADER_BYTES);
    const view = new DataView(header.buffer);
    view.setUint32(0, OPTION_REPLY_MAGIC_HIGH);
    view.setUint32(4, OPTION_REPLY_MAGIC_LOW);
    view.setUint32(8, option);
    view.setUint32(12, type);
    view.setUint32(16, data.length);
    this.#output.push(header, data);
  }
}

/** name length, name, count (u16), that many information types (u16); nothing may be left over. */
function parseInfoRequest(data: Uint8Array): NamedRequest | null {
  if (data.length < 6) return null;
  const view = viewOf(data);
  const nameBytes = view.getUint32(0);
  if (nameBytes > STRING_BYTES_MAX || nameBytes > data.length - 6) return null;
  const name = decodeString(data.subarray(4, 4 + nameBytes));
  const count = view.getUint16(4 + nameBytes);
  if (name === null || data.length !== 6 + nameBytes + 2 * count) return null;
  const items = Array.from({ length: count }, (_, index) =>
    view.getUint16(6 + nameBytes + 2 * index),
  );
  return { name, items, queries: [] };
}

/** name length, name, count (u32), then queries with their lengths (u32); nothing left over. */
function parseContextRequest(data: Uint8Array): NamedRequest | null {
  if (data.length < 8) return null;
  const view = viewOf(data);
  const nameBytes = view.getUint32(0);
  if (nameBytes > STRING_BYTES_MAX || nameBytes > data.length - 8) return null;
  const name = decodeString(data.subarray(4, 4 + nameBytes));
  const count = view.getUint32(4 + nameBytes);
  if (name === null) return null;
  const queries: string[] = [];
  let at = 8 + nameBytes;
  for (let index = 0; index < count; index += 1) {
    if (data.length - at < 4) return null;
    const bytes = view.getUint32(at);
    if (bytes > STRING_BYTES_MAX || bytes > data.length - at - 4) return null;
    const query = decodeString(data.subarray(at + 4, at + 4 + bytes));
    if (query === null) return null;
    queries.push(query);
    at += 4 + bytes;
  }
  return at === data.length ? { name, items: [], queries } : null;
}

function infoData(type: number, bytes: number): DataView {
  const view = new DataView(new ArrayBuffer(2 + bytes));
  view.setUint16(0, type);
  return view;
}

function infoText(type: number, text: string): Uint8Array {
  const bytes = encodeString(text);
  const view = infoData(type, bytes.length);
  const data = bytesOf(view);
  data.set(bytes, 2);
  return data;
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encodeString(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Null for what is no UTF-8, is too long, or contains a NUL. */
function decodeString(bytes: Uint8Array): string | null {
  if (bytes.length > STRING_BYTES_MAX || bytes.includes(0)) return null;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
