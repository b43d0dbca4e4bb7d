// Makes a key for a client, and prints it as JSON: `pem`, the private part, and `jwk`, the public one.
//
//   node key.mjs ES256|EdDSA|RS256

import { generateKeyPairSync } from "node:crypto";

const kinds = {
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
  RS256: ["rsa", { modulusLength: 2048 }],
};
const alg = process.argv[2];
const { privateKey, publicKey } = generateKeyPairSync(...kinds[alg]);
const pem = privateKey.export({ type: "pkcs8", format: "pem" });
console.log(JSON.stringify({ pem, jwk: { ...publicKey.export({ format: "jwk" }), alg, use: "sig", kid: "own" } }));
