// Package proof shows that a directory is closed: that nobody who is not signed in,
// or not in good standing, or not the owner of the sender, gets a recipient accepted
// who is not ours. Or it names the witness that opens it. Promise 1.
//
// It runs the classification and the decisions that the server itself runs, over one
// representative of every equivalence class that a configuration makes: each domain
// of ours with what resembles it, each form of a local-part that some server
// somewhere routes by, each address that the configuration names, each door, each
// state of a session. What is ours it tells in its own words, from the list of
// domains alone, so that a fault of the classification is no part of the proof.
//
// The same cells are tried of a whole directory, and of what a change touches of one that was
// closed; After says why that is enough.
//
// It is pure: the same directory always has the same report.
package proof
