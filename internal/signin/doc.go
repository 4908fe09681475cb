// Package signin authenticates users for every listener alike, whether they are there to send or
// to read, and ends their sessions when their credentials no longer hold.
//
// It has accounts judge what they show, and it promises that
//
//   - every sign-in, good or bad, is a fact that says who, whence, with what and why;
//   - a session lives no longer than what it was opened with: it is told to end when that is
//     revoked, when its time is over, or when the account may not act any more;
//   - an account has a bounded number of sessions, to send and to read apart, and a bounded number
//     of facts of its own within an hour;
//   - who watches accounts for misuse hears of each.
//
// It knows no protocol.
package signin
