// Package call carries calls of operator actions: it knows who calls, what kinds of failure there
// are, and how a request reaches an action and its answer returns.
//
// Requests are JSON over HTTP: POST /v1/ACTION. A listing answers with one JSON object a line; its
// last line is {"end":true} or holds an error, so that a listing that was cut short is never taken
// for a whole one. An archive is a tar that begins with a head and ends the same way.
//
// It promises that each request is bounded in size, that an answer may be read slowly but not
// forever, and that a field that it does not know is refused. It knows no topic: what a failure of
// the rooms beneath one means is told by the topic, as an Explain.
package call
