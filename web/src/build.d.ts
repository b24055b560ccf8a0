/** Put in by build.js. */
declare const FILES: Record<string, string>;
