package accounts

import (
	"sallyport/internal/guess"
	"sallyport/internal/mail"
)

// GuessedAt returns what was tried of late at an account; false: nobody guesses its password.
func (i *Identity) GuessedAt(a mail.Address) (guess.Report, bool) {
	i.screened.Lock()
	defer i.screened.Unlock()
	r, ok := i.tally.At(a.Key(), i.o.Now())
	return i.named(r), ok
}

// AllGuessedAt returns the accounts that are being guessed at, those with the most tries first:
// no more than most of them, and how many there are.
func (i *Identity) AllGuessedAt(most int) (first []guess.Report, of int) {
	i.screened.Lock()
	defer i.screened.Unlock()
	all := i.tally.All(i.o.Now())
	for _, r := range all[:min(most, len(all))] {
		first = append(first, i.named(r))
	}
	return first, len(all)
}

// CountGuessedAt returns how many accounts are being guessed at.
func (i *Identity) CountGuessedAt() int {
	i.screened.Lock()
	defer i.screened.Unlock()
	return i.tally.Count(i.o.Now())
}

// GuessingBegun returns the accounts that are being guessed at and were not returned before,
// since each was last left in peace for a while. Whoever asks tells people.
func (i *Identity) GuessingBegun() (begun []guess.Report) {
	i.screened.Lock()
	defer i.screened.Unlock()
	for _, r := range i.tally.Begun(i.o.Now()) {
		begun = append(begun, i.named(r))
	}
	return begun
}

// named gives a report the account's address as it was made, in place of its key.
func (i *Identity) named(r guess.Report) guess.Report {
	if a := i.record(r.Account); a != nil {
		r.Account = a.Address.String()
	}
	return r
}
