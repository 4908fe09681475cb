// Package authload measures what holding mail against its sender (SPF, DKIM, DMARC)
// adds to the work of accepting it: processor time of the real server for each
// message, with its checks off and on, in the same run. The keys and policies are in
// the server's caches after the first message, as those of a busy correspondent are.
//
//	go test ./test/authload -run '^$' -bench . -benchtime 4000x -count 3
package authload
