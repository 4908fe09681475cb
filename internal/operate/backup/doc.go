// Package backup reads and writes the file of a backup: a tar archive, compressed with Zstandard,
// whose last member holds the SHA-256 of every other.
//
//	backup.json             what was backed up, when, and by which program
//	data/…                  the data folder: store, keys, trace, what others keep there
//	mail/…                  the mailboxes, where they lie outside the data folder
//	config/sallyport.toml   the configuration
//	files/…                 what the configuration names and lies elsewhere
//	manifest.sha256         as sha256sum(1) writes and checks it
//
// It promises that a file is written whole and synced, or not at all; that Verify
// finds every octet that differs from what was backed up, and every member that is
// missing, added or out of place, before Extract is asked for anything; that Extract
// writes only regular files and folders below the folder that it was given, whatever
// an archive holds; and that neither holds more than a bounded part in memory.
//
// Modes, owners and times are in the headers of the members, where tar(1) keeps them.
package backup
