// Package index decides under which terms a fact is filed, and where in the store.
//
// The log writes the index and forgets it, a query reads it; both take the terms, the
// places and the keys from here, so that they cannot differ. The index only narrows down:
// a reader asks the fact itself.
package index
