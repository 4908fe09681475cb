// Package autoconfig serves mail programs their settings, in the formats in which they ask for
// them: Thunderbird's, Autodiscover (Outlook), PACC (draft-ietf-mailmaint-pacc), a profile for
// Apple's devices, and SRV records (RFC 6186, RFC 8314 §5.1).
//
// What it promises:
//
//   - It tells what the configuration says: the server's name, its doors and their ports. Whether
//     an address exists changes no answer.
//   - An answer repeats nothing of a request but an address that is well-formed and of a domain of
//     ours.
//   - No door is told that takes a sign-in in clear text, since none does.
package autoconfig
