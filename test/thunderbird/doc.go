// Package thunderbird spends a day with Debian's Thunderbird, on a display of its own (Xvfb), at a
// server as an administrator installs it: the program finds its settings by itself, reads, flags,
// moves, deletes, writes, idles, goes offline and comes back, and signs in by a certificate that is
// revoked while it is connected. The test works its windows through Marionette, takes a picture at
// each step, and asks both sides what they hold. Nothing of the server is linked into it.
package thunderbird
