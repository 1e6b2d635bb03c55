// Ids of requests. A master takes the id that a request names into its log and into the trail of orders,
// so a reason that is a part of it is found there beside the order.

const LENGTH_MAX = 64;
const SUFFIX_LENGTH = 6;

/** Returns the reason as a master takes it: letters, digits and hyphens. */
export function slugOf(reason: string): string {
  const plain = reason.normalize('NFKD').replace(/[\u0300-\u036f]/g, '');
  const slug = plain.replace(/[^A-Za-z0-9._]+/g, '-').replace(/^-+|-+$/g, '');
  return slug.slice(0, LENGTH_MAX - SUFFIX_LENGTH - 1).replace(/-+$/, '');
}

/** Draws an id for a request that is given for a reason. */
export function requestIdOf(reason: string, random: () => number = Math.random): string {
  const digits = Array.from({ length: SUFFIX_LENGTH }, () => Math.floor(random() * 36).toString(36));
  return `${slugOf(reason) || 'dashboard'}.${digits.join('')}`;
}
