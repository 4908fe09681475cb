// Package longqueue shows what a long queue costs the real server: whether it is accepted as fast
// at its end as at its beginning, how long a start takes with it and how much memory, whether an
// operator who holds and releases the mail of one account has to wait, and how much others wait
// whose mail stands beside that for a destination that is dead.
package longqueue
