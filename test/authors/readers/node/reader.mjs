// Reads header fields, one message after the other, with what Node has.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
const nodemailer = require('nodemailer/lib/addressparser');
const old = require('addressparser');
const strict = require('email-addresses');
const { simpleParser } = require('mailparser');
const { default: PostalMime, addressParser } = await import('postal-mime');

const flat = (list) => list.flatMap((a) => (a.group ? flat(a.group) : a.address ? [a.address] : []));
const parsed = (h) => [].concat(h ?? []).flatMap((v) => flat(v.value ?? []));
const valuesOf = (raw, name) => raw.toString('utf8').split('\r\n\r\n')[0].replace(/\r\n(?=[ \t])/g, '').split('\r\n')
  .filter((l) => l.toLowerCase().startsWith(name.toLowerCase() + ':')).map((l) => l.slice(name.length + 1).trim());
const readers = {
  'nodemailer addressparser': (raw, name) => valuesOf(raw, name).flatMap((v) => flat((nodemailer.default ?? nodemailer)(v, { flatten: true }))),
  'addressparser': (raw, name) => valuesOf(raw, name).flatMap((v) => flat(old(v))),
  'postal-mime addressParser': (raw, name) => valuesOf(raw, name).flatMap((v) => flat(addressParser(v, { flatten: true }))),
  'email-addresses': (raw, name) => valuesOf(raw, name).flatMap((v) => (strict.parseAddressList(v) ?? []).flatMap((a) => (a.addresses ? a.addresses.map((b) => b.address) : [a.address]))),
  'mailparser': async (raw, name) => parsed((await simpleParser(raw)).headers.get(name.toLowerCase())),
  'postal-mime': async (raw, name) => {
    const m = await PostalMime.parse(raw);
    if (name === 'From') return flat([].concat(m.from ?? []));
    if (name === 'Sender') return flat([].concat(m.sender ?? []));
    return [];
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const raw = Buffer.from(job.raw, 'hex');
  const out = {};
  for (const [name, read] of Object.entries(readers)) {
    try {
      out[name] = (await read(raw, job.name)).filter((a) => a);
    } catch {
      out[name] = null;
    }
  }
  console.log(JSON.stringify(out));
}
