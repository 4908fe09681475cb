// Package relayaudit asks a mail server, from outside, whether it can be made to
// relay or to lie, and judges its answers.
//
// It promises that each row of its table is spoken exactly as written, through a
// real socket, in every way of cutting the bytes into writes; that a server which
// answers one command with two replies, or with none, is found out; and that the
// verdict of a row depends on nothing but the row, the replies, and what was
// delivered. It knows nothing of the server's inside, and so can be pointed at
// any server that its user may test.
//
// # The table
//
// cases.txt holds one row per line, in five columns parted by " | ":
//
//	id | state and flags | script | expectation | source
//
// An empty line and a line that begins with "#" are skipped.
//
// The state is where the conversation stands when the script begins:
//
//	S0, S0/587, S0/465   connected; the greeting has not been read
//	S25, S25T            port 25 after EHLO; T: after STARTTLS and a second EHLO
//	S587, S587T          port 587, the same
//	S465                 port 465 (implicit TLS) after EHLO, not signed in
//	A                    signed in as the first account, on 587 or on 465
//
// Its flags: "alone" (not in a session shared with other rows), "clear" (not also
// inside TLS), "lockstep" (not cut byte by byte and not pipelined, because the
// row itself says how the bytes are cut).
//
// A script is a list of steps parted by "⏎". A step is a command line; "F:" and
// "T:" stand for "MAIL FROM:" and "RCPT TO:". CR LF follows it unless it ends in
// "\c", and one reply is awaited. A step may begin with a directive:
//
//	{GREETING}        read a reply without sending anything
//	{TLS}             do the TLS handshake, if the reply before was 220
//	{LOAD}text        a whole message: DATA, text, CR LF "." CR LF
//	{MSG}             {LOAD} with an ordinary message
//	{BDAT}text        a chunk of exactly these octets; {BDATLAST} the last one
//	{BODY}text        exactly these octets, if the reply before was 354
//	{BODY!}text       the same, and await no reply
//	{RESP}text        a line, if the reply before was 334
//	{NR}text          send, and await no reply
//	{PLAIN}text       send a line beneath TLS, in clear
//	{CLOSENOTIFY}text end TLS, then send a line in clear
//	{TIMES n}text     send n times or until the connection is closed
//	{PAUSE n}         wait n milliseconds
//	{OVER n}          connect anew to port 25, 587 or 465, keeping TLS tickets
//	{CLOSE}, {RESET}  close the connection (FIN), or abort it (RST)
//
// Within a step, \r \n \t \s (space) \\ \{ \} and \xHH are octets, and these are
// replaced: {LD} {D2} our domains, {RD} the foreign domain, {HN} our host name,
// {LIT} the server's address as a literal, {IP} the same bare, {USER} {PASS} the
// account, {SASL} its PLAIN response, {FROM} {TO} the usual sender and recipient
// of the state, {TX} the MAIL and RCPT steps for them, {MARK} a word unique to the run,
// {HDR} the header of an ordinary message, {SMUG} a transaction to be smuggled,
// {REP n text} n times text, {FILL n} lines of text up to octet n of the step,
// {B64 text} base64, {CUT} a cut between two writes.
//
// The script "@E" stands for every row whose id begins with E, "bdat@E" for the
// same with their messages sent by BDAT; the row's own expectation replaces theirs.
//
// An expectation is a list of words:
//
//	rcpt=5            the reply to the step named rcpt (its verb in lower case;
//	                  end for a message, tls for a handshake, greet, resp): its
//	                  first digit, or its code, or close, alert, skip, ok, fail;
//	                  or its enhanced code; alternatives parted by "/",
//	                  occurrences by ",", the last also for all that follow
//	msgs=0..1         how many local mailboxes hold the message afterwards (0)
//	at=bob            and in which mailbox alone
//	sink=0..1         how many copies reached the foreign domain (0)
//	closed, mayclose  the connection must, or may, be closed by the server
//	lacks=x, has=x    what the delivered message must not, or must, contain
package relayaudit
