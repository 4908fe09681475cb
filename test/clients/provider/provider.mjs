// An OpenID provider of somebody else's making, as `make clients` runs it. It answers at the
// issuer that it is given, knows every address as a person of its own, and gives one client
// access tokens that are JWTs (RFC 9068) and another opaque ones.
import Provider from "oidc-provider";

const [issuer, audience, scope] = process.argv.slice(2);
const redirect_uris = ["http://127.0.0.1:1/back"];
const program = (client_id) => ({
  client_id, redirect_uris, token_endpoint_auth_method: "none", application_type: "native",
  grant_types: ["authorization_code"], response_types: ["code"],
});
const person = (address) => ({ email: address, email_verified: !address.startsWith("unverified") });

const provider = new Provider(issuer, {
  clients: [program("thunderbird"), program("opaque"), program("stranger"), { client_id: "sallyport", client_secret: "a secret of two", redirect_uris }],
  scopes: ["openid", "email", scope],
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...person(id) }) }),
  extraTokenClaims: (_, token) => (token.accountId ? person(token.accountId) : undefined),
  features: {
    introspection: { enabled: true, allowedPolicy: () => true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource, client) => ({
        scope, audience, accessTokenTTL: 300, accessTokenFormat: client.clientId === "opaque" ? "opaque" : "jwt",
      }),
    },
  },
});
const at = new URL(issuer);
provider.listen(Number(at.port), at.hostname, () => console.log("listening"));
