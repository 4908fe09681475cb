// Package roll keeps the lists that LDAP directories have of our users, and of the recipients of
// servers behind us: it fetches the whole list of each directory every few minutes, and has the
// directory judge passwords.
//
// It promises that only a whole and plausible list replaces the last good one, which
// outlives restarts: a list that ends in an error changes nothing, and neither does one in
// which nobody is left or a group that had members has none. Until a first list was good
// nobody knows who exists, and it says so. A name that a directory lacks costs it nothing.
package roll
