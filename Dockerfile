# heed in a container: the server, the client, and the models it ships with.
#
#   docker build -t heed .
#   docker run --rm -p 50051:50051 heed                                                    the shipped models
#   docker run --rm -p 50051:50051 -v "$PWD/models:/models:ro" heed --model=mine=/models/mine       your own

FROM debian:trixie-slim AS build
WORKDIR /heed
# The packages first: they change less often than the sources.
COPY deploy/packages.sh deploy/packages.sh
RUN deploy/packages.sh --without-tests
COPY CMakeLists.txt CMakePresets.json ./
COPY proto proto
COPY model model
COPY server server
COPY client client
RUN cmake --preset release -DHEED_BUILD_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr/local \
    && cmake --build build/release --target all \
    && DESTDIR=/image cmake --install build/release --strip \
    && rm -rf /image/usr/local/include /image/usr/local/lib
# The packages of the shared libraries that the programs load.
RUN ldd /image/usr/local/bin/* | awk '$2 == "=>" { print $3 }' | sort -u | xargs realpath \
    | xargs dpkg-query -S | cut -d : -f 1 | sort -u > /image/packages

FROM debian:trixie-slim
LABEL org.opencontainers.image.title="heed" \
      org.opencontainers.image.description="Serves transformer checkpoints over gRPC and shows their attention"
COPY --from=build /image/packages /usr/local/share/heed/packages
RUN apt-get -q update \
    && xargs apt-get -q -y install --no-install-recommends < /usr/local/share/heed/packages \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/apt /var/log/dpkg.log
COPY --from=build /image/usr/local /usr/local
# No name is needed for this user, and nothing is written: --read-only and --cap-drop=ALL work.
USER 65532:65532
ENV HEED_LISTEN=0.0.0.0:50051
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
  CMD ["sh", "-c", "exec heed health --server=127.0.0.1:${HEED_LISTEN##*:} --deadline=4s"]
ENTRYPOINT ["heed-server"]
