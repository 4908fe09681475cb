// Package roll keeps what directories say of our people and of the recipients of servers
// behind us: it fetches the whole list of each directory every few minutes, and answers for
// them when a password is to be judged.
//
// It promises that only a whole and plausible list replaces the last good one, which
// outlives restarts: a list that ends in an error changes nothing, and neither does one in
// which nobody is left or a group that had members has none. Until a first list was good
// nobody knows who exists, and it says so. A name that a directory lacks costs it nothing.
package roll
