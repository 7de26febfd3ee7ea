#!/usr/bin/env node
// The installed program: checks the Node version, then runs the compiled command line.
// Kept in plain JavaScript that old versions of Node can parse, so that they get the message below.

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `bandstand: cannot run on Node ${process.versions.node}: version 20.19 or later is needed\n` +
      '  install a newer Node.js\n',
  );
  process.exit(1);
}

// React decides by this variable whether it runs its slow development checks.
process.env.NODE_ENV = 'production';

const main = new URL('../dist/program/main.js', import.meta.url);
const { existsSync } = await import('node:fs');
if (!existsSync(main)) {
  process.stderr.write(
    'bandstand: cannot start: the program is not built (dist/program/main.js is missing)\n' +
      '  run `npm run build` in the package folder\n',
  );
  process.exit(1);
}
const { main: run } = await import(main.href);
process.exitCode = await run(process.argv.slice(2));
