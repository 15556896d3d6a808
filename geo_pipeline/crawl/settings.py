"""What a person may set about crawling; the `crawl` section of a profile.

Only plain values and their limits live here: importing this module costs nothing beyond pydantic.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

LIMIT_SETTINGS = (
    "allow_origins",
    "max_redirects",
    "max_bytes",
    "max_pixels",
    "max_decode_bytes",
    "min_side",
    "placeholder_sha256",
    "placeholder_urls",
)
"""Settings that decide what is refused: a change makes refused photos due again."""

STORED_SETTINGS = ("image_size", "quality", "size_suffix")
"""Settings that decide what a stored picture looks like: a change makes stored photos due again."""

CONTENT_SETTINGS = (*LIMIT_SETTINGS, *STORED_SETTINGS)
"""Names of the CrawlSettings that decide what is stored or refused; all others decide only how photos are fetched."""


class CrawlSettings(BaseModel):
    """How photos are fetched, what is refused and how pictures are stored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    concurrency: int = Field(64, ge=1, le=4096, description="Requests in flight at once, over all hosts.")
    per_host: int = Field(8, ge=1, description="Requests in flight at once to one origin (scheme, host, port).")
    timeout_seconds: float = Field(20.0, gt=0, description="Total deadline of one request, from connecting to the end.")
    retries: int = Field(3, ge=0, description="Further tries after one that failed for a passing reason.")
    backoff_seconds: float = Field(
        1.0, gt=0, description="Wait before the first retry; doubled for each further one, with jitter."
    )
    max_retry_wait_seconds: float = Field(
        60.0, ge=0, description="Longest wait for a retry in a crawl; a longer Retry-After defers the origin's photos."
    )
    adaptive_delay: bool = Field(
        True, description="Space the requests to one origin by its latency divided by `per_host`; quick ones are not."
    )
    max_delay_seconds: float = Field(
        60.0, ge=0, description="Longest adaptive delay (never above `max_retry_wait_seconds`)."
    )
    breaker_failures: int = Field(
        20,
        ge=0,
        description="Timeouts, connection errors and 5xx in a row after which an origin is left alone; 0: never.",
    )
    breaker_pause_seconds: float = Field(
        600.0, gt=0, description="How long it is left alone; its photos are deferred until then."
    )
    respect_robots: bool = Field(True, description="Read each origin's robots.txt and keep to it.")
    failure_pause_seconds: float = Field(
        3600.0, ge=0, description="Pause before a later crawl asks for a failed photo again; doubled for each failure."
    )
    refresh_after_days: float | None = Field(
        None, gt=0, description="Ask whether a stored photo has changed once it is so old; absent: never."
    )
    min_bytes_per_second: int = Field(512, ge=0, description="An answer slower than this is given up after 5 seconds.")
    max_redirects: int = Field(5, ge=0, description="Redirects followed for one photo.")
    max_bytes: int = Field(20_000_000, ge=1, description="Largest body accepted, in bytes.")
    max_bytes_in_flight: int = Field(
        32_000_000, ge=1, description="Bytes of bodies held at once over all requests; beyond it bodies wait in turn."
    )
    max_pixels: int = Field(
        60_000_000, ge=1, le=89_000_000, description="Largest picture decoded, in pixels (at most Pillow's own limit)."
    )
    max_decode_bytes: int = Field(
        110_000_000,
        ge=1,
        description="Most memory to decode one picture, in bytes: 25 megapixels of PNG, 7 of WebP, any baseline JPEG.",
    )
    min_side: int = Field(32, ge=1, description="Smallest short side accepted, in pixels.")
    image_size: int = Field(
        320, ge=1, description="Short side of stored pictures, in pixels; smaller stay as they are."
    )
    quality: int = Field(90, ge=1, le=100, description="JPEG quality of stored pictures.")
    records_per_shard: int = Field(4096, ge=1, description="Photos in one shard file.")
    decode_threads: int = Field(2, ge=1, description="Threads that decode and encode pictures.")
    user_agent: str = Field("geo_pipeline/0.1", min_length=1, description="Product token that names this crawler.")
    contact: str | None = Field(None, description="URL or e-mail address of whoever runs the crawl, for site owners.")
    allow_origins: tuple[str, ...] = Field(
        (), description="Origins as host:port that may be fetched although their address is not public."
    )
    size_suffix: str = Field("", description="Suffix put before the extension of each URL: `z` and `_z` mean the same.")
    placeholder_sha256: tuple[Sha256, ...] = Field(
        (), description="SHA-256 of the bytes of known 'photo unavailable' pictures."
    )
    placeholder_urls: tuple[str, ...] = Field(
        ("*/photo_unavailable*",), description="Patterns (* and ?) of redirect targets that show such a picture."
    )

    @field_validator("allow_origins")
    @classmethod
    def _origin_has_a_port(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse an exception that is wider or narrower than its author thinks."""
        for origin in origins:
            if not re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:/\[\]]+):\d{1,5}", origin):
                raise ValueError(f"found {origin!r}, expected host:port such as 127.0.0.1:8731 or [::1]:8731")
        return tuple(origin.lower() for origin in origins)

    def for_folder(self) -> CrawlSettings:
        """The settings of an import of pictures from disk, without what is about URLs only."""
        return self.model_copy(update={"size_suffix": "", "refresh_after_days": None})

    @property
    def refresh_after(self) -> timedelta | None:
        """How old a stored photo must be to be asked for changes; None if it never is."""
        return None if self.refresh_after_days is None else timedelta(days=self.refresh_after_days)

    @property
    def product_token(self) -> str:
        """The name by which robots.txt calls this crawler: the user agent without its version."""
        return self.user_agent.partition("/")[0].strip()

    @property
    def agent_header(self) -> str:
        """The User-Agent header: the product token and, if given, the contact."""
        return f"{self.user_agent} (+{self.contact})" if self.contact else self.user_agent
