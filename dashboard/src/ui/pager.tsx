// Buttons for a list that is shown in parts.

interface PagerProps {
  page: number;
  pages: number;
  what: string;
  go: (page: number) => void;
}

export function Pager({ page, pages, what, go }: PagerProps) {
  if (pages <= 1) return null;
  return (
    <nav class="pager" aria-label={`Pages of ${what}`}>
      <button type="button" disabled={page <= 1} onClick={() => go(page - 1)}>
        Previous
      </button>
      <span>
        page {page} of {pages}
      </span>
      <button type="button" disabled={page >= pages} onClick={() => go(page + 1)}>
        Next
      </button>
    </nav>
  );
}
