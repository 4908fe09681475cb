// Package hijack decides, from what an account does, whether somebody else uses it, and
// how many recipients that are new to it may be written to until that is known.
//
// It promises that
//
//   - whatever the evidence says, no more recipients that are new to an account leave at
//     once, in an hour, a day and a week than [Bounds] say;
//   - an honest account is contained on average at most once in [Params.Odds]
//     observations, each counted with its weight, as long as what it does is, whatever it
//     did before, no more unusual on average than its baseline says with its margin (the
//     sum of the evidence less the number of observations, weighted alike, is then a
//     supermartingale; nothing need be independent);
//   - what an account did teaches its baseline only a day later, and never beyond the
//     caps, so that a thief cannot teach it quickly that theft is normal;
//   - known recipients between new ones do not wash the evidence away: some detectors
//     are moved by what is new alone;
//   - no order of restarts, clock jumps or events gives anything back: a [State] grows
//     stricter or stays, but for time that passed and for a person's word.
//
// An account has a [State]; what it does are [Event]s; [Advance] takes one into account
// and answers with a [Verdict]. [Classify] says what the recipients of a message are to
// an account, from a [Book] of who corresponds with whom. [Site] learns what is normal
// for all. [Share] judges what many accounts have in common: a network, a client program,
// a text.
//
// It knows nothing of disks and clocks: events come with their time, and values come
// out. Whoever stores a State, ends what is contained, and makes mail wait is for others.
package hijack
