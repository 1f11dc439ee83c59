/* Checks the token in the fragment with the registry's public keys; the fragment never leaves the browser. Three ends: the
 * signature holds; it is bad or speaks of another code, and the page says so instead of its verdict; or it could not be
 * checked, and the verdict stands as it is. */
const DIGITS = [0, 3, 5, 8, 10, 13, 15, 17]; // decimal digits for 0..7 bytes
const CLAIMS = { 1: "code", 2: "version", 3: "authority", 4: "number", 5: "name", 6: "title_name", 7: "level",
  8: "series", 9: "specialty", 10: "awarded_on", 11: "issued_on", 12: "paper_number" };
const OPTIONAL = ["specialty", "paper_number"];
const TYPES = { code: 2, version: 0, authority: 0, level: 0, awarded_on: 0, issued_on: 0 }; // others: text (3)
const PURPOSE = "e-certificate/1";
const CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const must = (holds) => { if (!holds) throw new Error("bad token"); };

function bytesOfDigits(digits) {
  must(/^\d+$/.test(digits));
  const out = [];
  for (let at = 0; at < digits.length; at += 17) {
    const part = digits.slice(at, at + 17);
    const size = DIGITS.indexOf(part.length);
    let value = BigInt(part);
    must(size > 0 && value >> BigInt(8 * size) === 0n);
    const group = [];
    for (let i = 0; i < size; i++, value >>= 8n) group.unshift(Number(value & 255n));
    out.push(...group);
  }
  return Uint8Array.from(out);
}

/* CBOR of definite length without floats and simple values (RFC 8949 section 3). */
function decodeCbor(bytes) {
  let at = 0;
  const take = (n) => { must(at + n <= bytes.length); return bytes.slice(at, (at += n)); };
  function item(depth) {
    must(depth < 5);
    const [head] = take(1);
    let n = head & 31;
    must(n < 27);
    if (n > 23) n = take(1 << (n - 24)).reduce((sum, byte) => sum * 256 + byte, 0);
    const inner = () => item(depth + 1);
    switch (head >> 5) {
      case 0: return n;
      case 1: return -1 - n;
      case 2: return take(n);
      case 3: return new TextDecoder("utf-8", { fatal: true }).decode(take(n));
      case 4: { const list = []; while (list.length < n) list.push(inner()); return list; }
      case 5: {
        const map = new Map();
        for (let i = 0; i < n; i++) { const key = inner(); must(!map.has(key)); map.set(key, inner()); }
        return map;
      }
      case 6: return { tag: n, value: inner() };
      default: must(false);
    }
  }
  const value = item(0);
  must(at === bytes.length);
  return value;
}

const KIND = [(v) => Number.isInteger(v) && v >= 0, null, (v) => v instanceof Uint8Array, (v) => typeof v === "string"];

function claimsOf(payload) {
  const coded = decodeCbor(payload);
  must(coded instanceof Map);
  const claims = {};
  for (const [key, name] of Object.entries(CLAIMS)) {
    const value = coded.get(Number(key));
    if (value === undefined) must(OPTIONAL.includes(name));
    else { must(KIND[TYPES[name] ?? 3](value)); claims[name] = value; }
  }
  must(claims.code.length === 10);
  const bits = claims.code.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  claims.code = Array.from({ length: 16 }, (_, i) => CROCKFORD[Number((bits >> BigInt(75 - 5 * i)) & 31n)]).join("");
  for (const day of ["awarded_on", "issued_on"]) claims[day] = new Date(claims[day] * 864e5).toISOString().slice(0, 10);
  return claims;
}

/* COSE_Sign1 with tag 18 (RFC 9052 section 4.2); what matters must be in the protected header. */
function readToken(digits) {
  const { tag, value } = decodeCbor(bytesOfDigits(digits));
  must(tag === 18 && Array.isArray(value) && value.length === 4);
  const [head, open, payload, signature] = value;
  must([head, payload, signature].every(KIND[2]) && signature.length === 64 && open instanceof Map);
  const header = decodeCbor(head);
  must(header instanceof Map && header.get(1) === -7 && header.get(16) === "zc1" && !header.has(2));
  must(KIND[2](header.get(4)));
  return { kid: new TextDecoder().decode(header.get(4)), head, payload, signature, claims: claimsOf(payload) };
}

function signedBytes({ head, payload }) {
  const wrapped = ({ length: n }) => (n < 24 ? [0x40 | n] : n < 256 ? [0x58, n] : [0x59, n >> 8, n & 255]);
  const title = new TextEncoder().encode("Signature1");
  return Uint8Array.from([0x84, 0x6a, ...title, ...wrapped(head), ...head, 0x40, ...wrapped(payload), ...payload]);
}

/* Two keys may bear one id: every one is tried. */
async function signatureHolds(token) {
  const answer = await fetch("/.well-known/jwks.json", { cache: "no-cache", signal: AbortSignal.timeout(8000) });
  if (!answer.ok) throw new Error("no keys");
  const { keys } = await answer.json();
  const ec = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  for (const { kty, crv, x, y, kid, purpose = PURPOSE, state } of keys) {
    if (kid !== token.kid || kty !== "EC" || crv !== "P-256" || purpose !== PURPOSE) continue;
    const key = await crypto.subtle.importKey("jwk", { kty, crv, x, y }, ec, false, ["verify"]);
    if (!(await crypto.subtle.verify(ec, key, token.signature, signedBytes(token)))) continue;
    if (state === "compromised") throw new Error("only the registry can judge it");
    return true;
  }
  return false;
}

const fragment = location.hash.slice(1);
const main = document.querySelector("main");
const line = document.getElementById("qr");
const page = main.dataset;
const keepFragment = (part) => { for (const link of part.querySelectorAll("a[data-keep]")) link.hash = fragment; };

function put(id) {
  const copy = document.getElementById(id)?.content.cloneNode(true);
  if (!copy) return;
  const word = copy.querySelector("h1").textContent;
  copy.querySelector(".says").append(line);
  copy.querySelector(".band").setAttribute("role", "alert");
  main.replaceChildren(copy);
  keepFragment(main);
  document.title = document.title.replace(/^[^–]*/, word + " ");
}

function tampered() {
  page.status = "tampered";
  line.textContent = "";
  put("tampered");
}

function showOffline({ claims, kid }) {
  page.status = "offline";
  const levels = document.getElementById("offline").content.querySelector(".levels").textContent.split("|");
  const day = (date) => new Date(date).toLocaleDateString(document.documentElement.lang, { dateStyle: "long", timeZone: "UTC" });
  const { awarded_on, issued_on, level } = claims;
  const shown = { ...claims, kid, level: levels[level - 1], awarded_on: day(awarded_on), issued_on: day(issued_on) };
  put("offline");
  for (const cell of main.querySelectorAll("[data-claim]")) {
    const value = shown[cell.dataset.claim];
    if (!value) cell.parentNode.remove();
    else cell.textContent = value;
  }
  line.textContent = page.match;
}

function showMatch({ claims }) {
  const shown = new Map(Array.from(main.querySelectorAll("[data-claim]"), (cell) =>
    [cell.dataset.claim, [cell, cell.dataset.value ?? cell.textContent]]));
  const differs = [...shown].filter(([name, [, value]]) => !["code", "version"].includes(name) && value !== `${claims[name]}`);
  const labels = differs.map(([, [cell]]) => cell.closest("div").querySelector("dt").textContent);
  const text = line.dataset;
  const older = shown.has("version") && shown.get("version")[1] !== String(claims.version);
  line.textContent = [text.match, older && text.older.replace("#", claims.version),
    labels.length && text.differs + labels.join("、")].filter(Boolean).join(" · ");
}

async function check(digits) {
  let token;
  try { token = readToken(digits); } catch { return tampered(); }
  if (/^[0-9A-Z]{16}[0-9A-Z*~$=]$/.test(page.code) && page.code.slice(0, 16) !== token.claims.code) return tampered();
  line.textContent = line.dataset.checking;
  let holds;
  try { holds = await signatureHolds(token); } catch { line.textContent = line.dataset.unchecked; return undefined; }
  if (!holds) return tampered();
  page.match = line.dataset.match;
  return page.status === "unavailable" ? showOffline(token) : showMatch(token);
}

if (fragment) keepFragment(document);
if (/\d{20}/.test(fragment)) check(fragment);
