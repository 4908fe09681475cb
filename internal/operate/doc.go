// Package operate implements every operator action, once: the command line calls it over the
// server's socket or, when no server runs, in its own process, and both go through the same
// Handler.
//
// It promises that nobody acts who is neither root nor the server's own user, as
// the kernel tells (SO_PEERCRED); that each change and the fact about who made it
// are committed together; that a listing is streamed and never held whole in
// memory; and that every request is bounded in size and time.
//
// Each topic is a room beneath it, with its actions and its part of the Client; call is how all of
// them are called, and socket the way there. What is of no topic, since it tells of all, is the
// status.
package operate
