// What every script of this test begins with. Each wait ends.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const sleep = ms => new Promise(r => setTimeout(r, ms));
const until = async (what, f, ms = 30000) => {
  for (const begun = Date.now(); ; ) {
    let v = null;
    try { v = await f(); } catch (e) {}
    if (v) { return v; }
    if (Date.now() - begun > ms) { throw new Error("never: " + what); }
    await sleep(50);
  }
};
// Elements, also those within shadow trees.
const deep = (selector, root = document) => [...root.querySelectorAll(selector), ...[...root.querySelectorAll("*")].filter(e => e.shadowRoot).flatMap(e => deep(selector, e.shadowRoot))];
const shown = selector => deep(selector).find(e => e.getClientRects().length);
const seen = selector => until("seeing " + selector, () => shown(selector));
const type = async (selector, text) => {
  const e = await seen(selector);
  e.focus();
  e.value = text;
  for (const what of ["input", "change"]) { e.dispatchEvent(new Event(what, { bubbles: true })); }
};
const click = async selector => (await until(selector, () => shown(selector + ":not([disabled])"))).click();
// Folders and what Thunderbird's own database says of them.
const server = () => MailServices.accounts.allServers.find(s => s.type == "imap").QueryInterface(Ci.nsIImapIncomingServer).QueryInterface(Ci.nsIMsgIncomingServer);
const outgoing = () => MailServices.outgoingServer.defaultServer;
const folder = flag => server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags[flag]);
const named = name => server().rootFolder.descendants.find(f => f.name == name);
const list = f => [...f.messages].map(h => h.mime2DecodedSubject + (h.isRead ? " read" : "") + (h.isFlagged ? " flagged" : "")).sort();
const holds = (f, ...want) => until(f.name + " to hold " + want, () => list(f).join() == want.join()).catch(e => { throw new Error(e.message + "; it holds " + list(f)); });
// The main window.
const pane = () => document.getElementById("tabmail").currentAbout3Pane;
const show = async f => { pane().displayFolder(f.URI); await until("showing " + f.name, () => pane().gFolder == f && pane().gDBView); };
const select = async subject => {
  const p = pane();
  const { row } = await until("a row of " + subject, () => {
    for (let row = 0; row < p.gDBView.rowCount; row++) {
      if (p.gDBView.getMsgHdrAt(row).mime2DecodedSubject == subject) { return { row }; }
    }
  });
  p.threadTree.selectedIndex = row;
  await until("the text of " + subject, () => reading().includes("body of " + subject));
};
const reading = () => pane().messageBrowser.contentWindow.getMessagePaneBrowser().contentDocument.body.textContent;
// A letter as a person writes one; it stays open.
const write = async (to, subject, text) => {
  MsgNewMessage();
  const w = await until("a window to write in", () => writing() && writing().gMsgCompose && writing().gMsgCompose.editor && writing().document.getElementById("addressRowTo") && writing());
  await sleep(1500);
  w.addressRowAddRecipientsArray(w.document.getElementById("addressRowTo"), [to]);
  const s = w.document.getElementById("msgSubject");
  s.value = subject;
  s.dispatchEvent(new w.Event("input", { bubbles: true }));
  w.GetCurrentEditor().insertText(text);
};
const writing = () => [...Services.wm.getEnumerator("msgcompose")][0];
const send = async () => { writing().goDoCommand("cmd_sendNow"); await until("it to be sent", () => !writing()); };
const offline = async yes => { MailOfflineMgr.toggleOfflineStatus(); await until("offline " + yes, () => Services.io.offline == yes); };
