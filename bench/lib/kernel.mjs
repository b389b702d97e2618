// Kernel memory of connections, from the kernel's own counters: both ends of every loopback pair count.
import { readFileSync } from "node:fs";

const PAGE_BYTES = 4_096;

/** Caches that other work on the machine fills: opened files, processes that walk /proc, closed connections. */
const OTHERS =
  /^(proc_inode|inode_cache|ext4|xfs|btrfs|fuse|ovl|shmem_inode|kernfs|radix_tree|buffer_head|tw_sock|vm_area|anon_vma|maple|task_|pid|sighand|signal|files_cache|mm_struct|cred)/;

/** The memory that is allocated now. */
export function kernelSample() {
  const sockstat = readFileSync("/proc/net/sockstat", "utf8");
  const [, sockets, pages] = /^TCP: inuse (\d+) .* mem (\d+)$/m.exec(sockstat);
  return { sockets: Number(sockets), bufferBytes: Number(pages) * PAGE_BYTES, caches: caches() };
}

/** The bytes of each slab cache that holds objects of connections; undefined where only root may read it. */
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

/** The allowed error in the count of sockets, because other programs on the machine open and close some. */
const TOLERANCE = 0.02;

/** Watches, and keeps the newest sample in which all `sessions` are connected. `pairs`: connections per session. */
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
