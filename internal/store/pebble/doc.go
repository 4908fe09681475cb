// Package pebble keeps a store on one disk, in a Pebble database with a
// folder of blobs beside it.
//
// It promises what package store promises, and to survive its disk:
//
//   - Concurrent durable commits share one sync: one goroutine applies commits in memory in
//     their order, and another answers those that are synced.
//   - Content is refused while free space is below a reserve, so that what frees
//     space can still be written.
//   - When a write finds the disk full, the database waits for space, and whoever
//     asks for a commit meanwhile is told store.ErrUnavailable at once.
//   - When the disk answers a write or a sync with any other error, nothing more
//     is written through the open database: a file whose sync failed once cannot
//     be trusted again. The database is opened anew from what is on disk, and the
//     commits not yet known to be synced are applied again in their order, so that
//     nobody in this process ever sees one undone.
//
// Pebble reacts to such errors by ending the process; the file system that this
// package puts below it (guard.go) sees to it that Pebble never hears of them.
package pebble
