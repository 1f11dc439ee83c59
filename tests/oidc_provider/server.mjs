// A real OpenID provider for the tests: `node server.mjs CONFIG.json`. It listens on a free port of the loopback and
// writes that port as one line. CONFIG: {"clients": [...], "people": {subject: {claim: value}}}.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: config.clients,
    claims: { openid: ["sub", "identity_number", "name", "acr"] },
    acrValues: ["urn:example:two-factors"],
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_, subject) =>
      config.people[subject] && {
        accountId: subject,
        claims: () => ({ sub: subject, ...config.people[subject] }),
      },
  });
  server.on("request", provider.callback());
  process.stdout.write(`listening ${port}\n`);
});
