// Package guess limits the rate at which passwords are tried, so that nobody guesses one and
// nobody who guesses locks an owner out.
//
// It promises, at every moment and whatever comes in which order: that the passwords tried at
// one account from networks that are new to it are judged no more often than its rate and
// its reserve say; that they cost what a network knows to the account has nothing, so that an
// owner there gets in; that an owner on another network has a way beside the account's rate,
// which a network that guesses has used up before; that whoever tries the same wrong
// password again, as a telephone with an old one does, uses up nothing that anybody else
// needs; that a restart gives nobody a new burst; and that its memory is bounded. A right
// password costs nothing in the end.
//
// What cannot be guessed (a certificate, an app password) is not asked about here at all:
// that is its way in. Accounts that do not exist are counted as those that do, so that no
// refusal tells one from the other. Tally remembers who is being guessed at, for people.
//
// The package is pure: time is an argument, and what it remembers belongs to one caller, who
// locks it. A clock that is set back changes nothing; one that is set forward fills what the time
// would have, unless the caller's time is monotonic, as time.Now is. Zero limits refuse
// everything.
package guess
