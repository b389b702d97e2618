// Kernel memory of connections, read from what the kernel says it has allocated: both ends of every loopback pair
// count.
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4_096;

/**
 * Caches that other work on the machine fills: files that are looked at, processes that walk /proc, closed connections.
 */
const OTHERS =
  /^(proc_inode|inode_cache|ext4|xfs|btrfs|fuse|ovl|shmem_inode|kernfs|radix_tree|buffer_head|tw_sock|vm_area|anon_vma|maple|task_|pid|sighand|signal|files_cache|mm_struct|cred)/;

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
  const rows = text
    .split("\n")
    .slice(2)
    .filter(Boolean)
    .map((line) => line.split(/\s+/));
  const bytes = ([name, active, , , perSlab, pages]) => [
    name,
    (Number(active) * Number(pages) * PAGE_BYTES) / Number(perSlab),
  ];
  return new Map(rows.map(bytes).filter(([name]) => !OTHERS.test(name)));
}

/** How far the count of sockets may be off because others on the machine open and close some. */
const TOLERANCE = 0.02;

/**
 * Watches, and keeps the newest sample in which all `sessions` stand. `pairs`: connections that one session is made of.
 */
export function kernelWatch(sessions, pairs = 1) {
  const before = kernelSample();
  const expected = 2 * pairs * sessions;
  let full;
  const look = () => {
    const now = kernelSample();
    if (Math.abs(now.sockets - before.sockets - expected) <= expected * TOLERANCE) full = now;
  };
  return { look, growth: () => full && growth(before, full, sessions) };
}

function growth(before, after, sessions) {
  const buffers = Math.max(0, after.bufferBytes - before.bufferBytes) / sessions;
  if (!before.caches || !after.caches) return { buffers };
  const grown = [...after.caches].map(([name, bytes]) => bytes - (before.caches.get(name) ?? 0));
  return { buffers, slab: grown.reduce((sum, bytes) => sum + bytes, 0) / sessions };
}
