/** Numbers that rules and routes share. None is seen outside the piece's network namespace. */

/** Connection mark of the Pod IP facade, and the fwmark that leads its replies back through the primary. */
export const facadeMark = 0x7073;
/** Routing table whose default route is the primary's net1 address. */
export const facadeRoutes = 7073;
/** Routing table that takes ::1 from net1. */
export const loopbackRoutes = 7074;
/** Connection mark of what came in by eth0: its answers may leave there even where nothing else may. */
export const inboundMark = 0x7074;
/** Fwmark of what a piece behind a proxy sends to the outside. */
export const viaMark = 0x7075;
/** Routing table whose default route is the proxy's net1 address. */
export const viaRoutes = 7075;
/** Connection mark of what enters by another piece, and the fwmark that leads it there. */
export const ingressMark = 0x7076;
/** Routing table whose default route is that piece's net1 address. */
export const ingressRoutes = 7076;
/** Preference of our `ip rule`s: after `local` (0), before everything of the CNI's. */
export const rulePreference = 70;
/** Of the rule that leads clients to the proxy: the Pod's address is local, so it stands before `local`, which is moved. */
export const ingressPreference = 1;
/** Where the table `local` is looked up then: twice, so that one of the rules stays while the other is made anew. */
export const localPreferences = [2, 3] as const;
/** Origin of the rule for `local` that stays when all others of ours are flushed. */
export const localRuleProtocol = 116;
/** Origin of our `ip rule`s (rtnetlink(7), RTPROT_*: numbers above 4 are for users): whoever wrote them may flush them. */
export const ruleProtocol = 115;
