/** HTTP as bytes: what a client sends that no library would send, and all that comes back. */

import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { ListenAddress } from '../../src/cli/listen-address.ts';

export function dial(address: ListenAddress): Socket {
  const options: NetConnectOpts =
    address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
  return connect(options);
}

/** Everything up to the end of the connection, which may be a reset. */
export function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    const end = (): void => resolve(Buffer.concat(chunks).toString('latin1'));
    if (socket.closed) end();
    else socket.on('close', end);
  });
}

/** Sends the bytes and leaves its side open. */
export async function exchange(address: ListenAddress, bytes: string | Buffer): Promise<string> {
  const socket = dial(address);
  socket.write(bytes);
  return await received(socket);
}

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** One whole answer. */
export function parseReply(text: string): Reply {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [first = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => line.split(': ', 2) as [string, string]);
  return {
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]),
    headers: new Map(headers.map(([name, value]) => [name.toLowerCase(), value])),
    body: rest.join('\r\n\r\n'),
  };
}

/** As curl would ask. */
export async function ask(
  address: ListenAddress,
  target = '/metrics',
  method = 'GET',
): Promise<Reply> {
  const head = `${method} ${target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n`;
  return parseReply(await exchange(address, head));
}
