// Kernel memory of connections, read from what the kernel says it has allocated: both ends of every loopback pair count.
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4_096;

/** Caches that other work on the machine fills: files that are looked at, processes that walk /proc, closed connections. */
const OTHERS = /^(proc_inode|inode_cache|ext4|xfs|btrfs|fuse|ovl|shmem_inode|kernfs|radix_tree|buffer_head|tw_sock|vm_area|anon_vma|maple|task_|pid|sighand|signal|files_cache|mm_struct|cred)/;

/** What is allocated now. */
export function kernelSample() {
  const sockstat = readFileSync("/proc/net/sockstat", "utf8");
  const [, sockets, pages] = /^TCP: inuse (\d+) .* mem (\d+)$/m.exec(sockstat);
  return { sockets: Number(sockets), bufferBytes: Number(pages) * PAGE_BYTES, caches: caches() };
}

/** Bytes of each slab cache that holds connections' objects; undefined where only root may read it. */
function caches() {
  let text;
  try {
    text = readFileSync("/proc/slabinfo", "utf8");
  } catch {
    return undefined;
  }
  const rows = text.split("\n").slice(2).filter(Boolean).map((line) => line.split(/\s+/));
  const bytes = ([name, active, , , perSlab, pages]) => [name, (Number(active) * Number(pages) * PAGE_BYTES) / Number(perSlab)];
  return new Map(rows.map(bytes).filter(([name]) => !OTHERS.test(name)));
}

/** Watches until all `sessions` stand, and then keeps the newest sample. `pairs`: connections that one session is made of. */
export function kernelWatch(sessions, pairs = 1) {
  const before = kernelSample();
  let full;
  const look = () => {
    const now = kernelSample();
    if (now.sockets - before.sockets >= 2 * pairs * sessions * 0.999) full = now;
  };
  return { look, growth: () => full && growth(before, full, sessions) };
}

function growth(before, after, sessions) {
  const perSession = (bytes) => bytes / sessions;
  const buffers = perSession(Math.max(0, after.bufferBytes - before.bufferBytes));
  if (!before.caches || !after.caches) return { buffers };
  const grown = [...after.caches].map(([name, bytes]) => [name, perSession(bytes - (before.caches.get(name) ?? 0))]);
  return { buffers, slab: grown.reduce((sum, [, bytes]) => sum + bytes, 0) };
}
