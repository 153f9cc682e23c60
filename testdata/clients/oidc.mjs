// An OpenID Connect provider that asks nobody: who logs in is the one that was
// named last with /as/NAME. Prints its address.
// usage: node oidc.mjs REDIRECT_URL GROUPS_JSON
import http from 'node:http';
import Provider from 'oidc-provider';

const [redirect, groupsText] = process.argv.slice(2);
const groups = JSON.parse(groupsText);
let who = '';

const server = http.createServer().listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'console', client_secret: 'a secret', redirect_uris: [redirect] }],
    claims: { openid: ['sub', 'groups'], profile: ['preferred_username'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false, // the claims are in the ID token
    cookies: { keys: ['of a test'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/who/${interaction.uid}` },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id, email: `${id}@example.com`, email_verified: true, groups: groups[id] }),
    }),
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  server.on('request', async (req, res) => {
    if (req.url.startsWith('/as/')) {
      who = req.url.slice('/as/'.length);
      res.end();
    } else if (req.url.startsWith('/who/')) {
      await provider.interactionFinished(req, res, { login: { accountId: who } });
    } else {
      answer(req, res);
    }
  });
  console.log(JSON.stringify({ event: 'issuer', data: issuer }));
});
process.stdin.resume().on('end', () => process.exit());
