/**
 * Messages between the main thread of a server and its data-path worker.            (control plane)
 *
 * The main thread asks, the worker answers with the request's number; the worker also reports
 * events. Everything is plain data (structured clone). Both ends are the same program, so nothing
 * is decoded with suspicion here; what comes from outside has been checked before.
 */

import type { MessagePort } from 'node:worker_threads';
import type { Geometry } from '../block/block-device.ts';
import type { ExportStatus, StatusDocument, WireError } from '../control/schema.ts';
import type {
  ActivityReply,
  CacheReply,
  MemberCall,
  MemberReply,
} from '../control/schema-members.ts';
import type { Finding } from '../ftl/finding.ts';
import type { LostBlocks } from '../ftl/lost-blocks.ts';
import type { ArrayEvent } from '../raid/array-events.ts';
import type { BufferFile } from './buffer-file.ts';
import type { PresentMembers } from './remember-members.ts';
import type { RememberedCache, RememberedStack } from './state-store.ts';

/** What is to be assembled. */
export interface StackPlan {
  readonly name: string;
  /** UUID of the array when it is known, so that members of another one are refused. */
  readonly uuid: string | null;
  /** Device specifications given by the user; empty: remembered paths and a scan. */
  readonly devices: readonly string[];
  readonly remembered: RememberedStack | null;
  /** Start with members missing although they were not missing at the last clean stop. */
  readonly degraded: boolean;
  readonly readOnly: boolean;
  /** The map of its FTL is made anew, from units alone. */
  readonly rebuildMap?: boolean;
  /** Goes on without the write buffer of a killed server where it is gone or unusable. */
  readonly discardBuffer?: boolean;
  /** Where the NV cache is; []: where it was, or wherever it is found. */
  readonly cacheDevices?: readonly string[];
  /** What only the NV cache has is given up. */
  readonly discardCache?: boolean;
}

export interface WorkerOptions {
  readonly plan: StackPlan;
  readonly arenaBytes: number;
  readonly pollUs: number;
  /** For the write buffer of an FTL; null: it dies with the server. */
  readonly buffer: BufferFile | null;
  /** The thread gets a mount namespace of its own, as the main thread has. */
  readonly leavesMounts: boolean;
}

export interface StackOpened {
  readonly uuid: string | null;
  readonly level: string;
  readonly health: 'healthy' | 'degraded' | 'failed';
  /** Sentences for the user. */
  readonly notes: readonly string[];
  /** To be remembered: where the members were found. */
  readonly remembered: RememberedStack | null;
}

export interface NbdExportOptions {
  readonly exportName: string;
  readonly description: string;
  /** `unix:PATH` or `tcp:HOST:PORT`. */
  readonly listen: string;
  readonly readOnly: boolean;
  /** May be reached from other machines without TLS. */
  readonly insecure: boolean;
  /** To the thread that speaks TLS with clients; null: they do not use it. */
  readonly tlsPort: MessagePort | null;
}

export interface UblkExportOptions {
  readonly deviceId: number;
  readonly queues: number;
  readonly depth: number;
  readonly bufferBytes: number;
  /** The ATTR_* bits that the device was given. */
  readonly attributes: number;
}

/** Method → parameters and result. */
export interface WorkerMethods {
  open: { params: null; result: StackOpened };
  exportNbd: { params: NbdExportOptions; result: ExportStatus };
  exportUblk: { params: UblkExportOptions; result: ExportStatus };
  /** By its address, as its status tells it. */
  unexport: { params: string; result: null };
  /** Of what would be exported now. */
  geometry: { params: null; result: Geometry };
  /** Everything but what the main thread adds: `server`. */
  status: { params: null; result: Omit<StatusDocument, 'server'> };
  /** What clients ask of members and processes. */
  change: { params: MemberCall; result: MemberReply | ActivityReply | CacheReply };
  /** Flushes and closes; the worker ends after the answer. */
  close: { params: null; result: null };
  /** The same, but the clients of its exports are left to the next server: see Stack.handOver. */
  handOver: { params: null; result: string | null };
}

export type WorkerMethod = keyof WorkerMethods;

export interface WorkerRequest {
  readonly id: number;
  readonly method: WorkerMethod;
  readonly params: unknown;
}

export type StackEvent =
  | { readonly event: 'step-started'; readonly step: string }
  | { readonly event: 'step-ended'; readonly step: string; readonly error: string | null }
  /** Of steps of a stack that is worked on without a server. */
  | {
      readonly event: 'step-advanced';
      readonly step: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | {
      readonly event: 'member-error';
      readonly slot: number;
      readonly device: string | null;
      readonly op: string;
      readonly errno: string;
      readonly count: number;
    }
  | { readonly event: 'member-failed'; readonly device: string; readonly errno: string }
  | { readonly event: 'array-failed'; readonly errno: string }
  /** What a start had to do, beyond loading the map. */
  | {
      readonly event: 'ftl-restored';
      readonly clean: boolean;
      readonly unitsPlayed: number;
      readonly bytesRead: number;
    }
  | { readonly event: 'ftl-found'; readonly finding: Finding }
  /** Its base was larger than it was: it has so many bytes now. */
  | { readonly event: 'ftl-grown'; readonly bytesBefore: number; readonly bytes: number }
  /** The write buffer of a killed server was given up. */
  | { readonly event: 'ftl-buffer-lost' }
  | { readonly event: 'ftl-lost'; readonly lost: LostBlocks }
  | {
      readonly event: 'ftl-rebuilt';
      readonly map: {
        readonly usedBlocks: number;
        readonly outdatedBlocks: number;
        readonly wrongBlocks: number;
      };
    }
  /** A step of the start of its NV cache. */
  | {
      readonly event: 'cache-step';
      readonly step: string;
      readonly state: 'started' | 'finished' | 'failed';
      readonly error: string | null;
      readonly counts: Readonly<Record<string, number | boolean>>;
    }
  /** What a start after a crash has found in the NV cache is drained. */
  | { readonly event: 'cache-recovered'; readonly blocks: number; readonly lostBlocks: number }
  /** It is being emptied, and not used afterwards. */
  | { readonly event: 'cache-failed'; readonly device: string; readonly why: string }
  /** It could not be emptied: nothing is changed any more. */
  | { readonly event: 'cache-lost'; readonly device: string; readonly why: string }
  /** It has another NV cache now, or none: to be remembered. */
  | {
      readonly event: 'cache-changed';
      readonly cache: RememberedCache | null;
      /** Its device, or the name of its mirror. */
      readonly device: string | null;
    }
  /** The same for the mirror under the NV cache. */
  | {
      readonly event: 'cache-members-changed';
      readonly status: PresentMembers;
    }
  /** The stack was started without its NV cache, which is given up. */
  | { readonly event: 'cache-discarded'; readonly uuid: string }
  | { readonly event: 'ftl-failed'; readonly errno: string; readonly why: string }
  /** What the array's manager tells. */
  | { readonly event: 'array'; readonly array: ArrayEvent }
  /** Who the members are, or where, has changed: to be remembered. */
  | {
      readonly event: 'members-changed';
      readonly status: PresentMembers;
    }
  /** A client of an export was cut off or turned away; at most once a minute. */
  | { readonly event: 'client-refused'; readonly reason: string }
  | { readonly event: 'warning'; readonly message: string };

export type WorkerReply =
  | { readonly kind: 'ready'; readonly wakeFd: number; readonly warnings: readonly string[] }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: WireError }
  | { readonly kind: 'event'; readonly event: StackEvent }
  /** An invariant is broken: the data path has stopped. */
  | { readonly kind: 'fatal'; readonly error: WireError };
