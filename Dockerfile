ARG NODE_IMAGE=node:24-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY prisma prisma
COPY scripts scripts
COPY src src
RUN npm run -s build

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The Prisma CLI and TypeScript are optional peers of the client, so that only omitting both kinds leaves them out. Of the
# client's query compilers one is for PostgreSQL; of the files of countries one has all addresses.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund \
  && find node_modules/@prisma/client/runtime -name 'query_compiler_*' ! -name '*.postgresql.*' -delete \
  && rm node_modules/@ip-location-db/geo-whois-asn-country-mmdb/*-ipv?.mmdb

FROM ${NODE_IMAGE}
# Docker gives a new volume the owner and the mode of the folder it covers, so that neither of these two needs root. A
# data folder is only used without a DATABASE_URL.
RUN install -d -o node -g node -m 0700 /var/lib/keyturn/keys /var/lib/keyturn/data
# Of glibc's areas of memory there would be one a thread, and in each some that is never used again: 8 MB. The 19 MB of a
# hash would stay in them as well: what is over 4 MB goes back when it is freed, and comes in huge pages, without which a hash
# would take a tenth longer.
ENV NODE_ENV=production \
    GLIBC_TUNABLES=glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=4194304:glibc.malloc.hugetlb=1 \
    HOST=0.0.0.0 \
    PORT=3000 \
    KEYS_DIR=/var/lib/keyturn/keys \
    DATA_DIR=/var/lib/keyturn/data
WORKDIR /app
# Owned by root, so that the service cannot change its own code.
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY prisma/migrations prisma/migrations
COPY package.json LICENSE ./
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
# Liveness alone: a container is not to be restarted because its database is away. Load balancers ask /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# V8 would take 32 MB for what has just been made, and gains nothing by it here.
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/src/cli/keyturn.js"]
CMD ["serve"]
