#include "model/transformer/pack_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/base/status_macros.h"
#include "model/kernels/parallel.h"

namespace heed {
namespace {

constexpr char kMagic[] = "heedpack";
constexpr uint32_t kVersion = 2;
constexpr uint32_t kLayerMark = 0x5259414c, kEndMark = 0x53444e45;
constexpr int64_t kMaxHeaderBytes = 4096;
constexpr uint32_t kMaxNameBytes = 1024, kMaxSpans = 8;

// Values are hashed in pieces, several at once; the hash of them all is that of their hashes.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

// At the beginning, followed by the identity: stamp, digest and form, a line each.
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t text_bytes;
  uint64_t text_hash;
};

// Before each layer, followed by its name and a SpanHeader for each span of its storage.
struct LayerHeader {
  uint32_t mark;
  uint32_t name_bytes;
  int64_t rows, cols, group;
  int32_t bits, has_bias;
  double lost;
  uint64_t span_count;
  uint64_t hash;  // of all of this but itself, the name and the spans' headers
};

struct SpanHeader {
  int64_t bytes;
  uint64_t hash;
};

template <typename T>
absl::Span<char> BytesOf(T& value) {
  return {reinterpret_cast<char*>(&value), sizeof value};
}

uint64_t HashOf(absl::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t HashOf(LayerHeader header, absl::string_view name, absl::Span<const SpanHeader> spans) {
  header.hash = 0;
  const absl::Span<const char> bytes = BytesOf(header);
  return HashOf(absl::StrCat(absl::string_view(bytes.data(), bytes.size()), name,
                             absl::string_view(reinterpret_cast<const char*>(spans.data()),
                                               spans.size() * sizeof(*spans.data()))));
}

// Calls visit(piece) for the pieces of `values`, on the team.
template <typename Visit>
void ForEachPiece(absl::Span<const char> values, const Visit& visit) {
  const auto pieces = (static_cast<int64_t>(values.size()) + kPieceBytes - 1) / kPieceBytes;
  ParallelFor(pieces, true, visit);
}

uint64_t HashOfValues(absl::Span<const char> values) {
  std::vector<uint64_t> hashes((values.size() + kPieceBytes - 1) / kPieceBytes);
  ForEachPiece(values, [&](int64_t piece) {
    const absl::Span<const char> part = values.subspan(piece * kPieceBytes, kPieceBytes);
    hashes[piece] = XXH3_64bits(part.data(), part.size());
  });
  return XXH3_64bits(hashes.data(), hashes.size() * sizeof(uint64_t));
}

std::string HeaderText(const PackIdentity& identity) {
  return absl::StrCat(identity.stamp, "\n", identity.digest, "\n", identity.form);
}

std::string HeaderBytes(const PackIdentity& identity) {
  const std::string text = HeaderText(identity);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  header.version = kVersion;
  header.text_bytes = static_cast<uint32_t>(text.size());
  header.text_hash = HashOf(text);
  const absl::Span<const char> bytes = BytesOf(header);
  return absl::StrCat(absl::string_view(bytes.data(), bytes.size()), text);
}

absl::Status DamagedFile(const File& file, int64_t offset, absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the packed copy ", file.name(), " is damaged: ", what, " at byte ", offset));
}

absl::Status ReadInside(const File& file, int64_t offset, absl::Span<char> out) {
  if (static_cast<int64_t>(out.size()) > file.size() - offset) {
    return DamagedFile(file, offset, "it ends too early");
  }
  return file.Read(offset, out);
}

// Moves `offset` behind the header.
absl::StatusOr<PackIdentity> ReadHeader(const File& file, int64_t* offset) {
  Header header{};
  HEED_RETURN_IF_ERROR(ReadInside(file, 0, BytesOf(header)));
  if (std::memcmp(header.magic, kMagic, sizeof header.magic) != 0) {
    return DamagedFile(file, 0, "no packed copy begins like this");
  }
  if (header.version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("the packed copy ", file.name(), " has version ", header.version));
  }
  if (header.text_bytes > kMaxHeaderBytes) return DamagedFile(file, 0, "a header too long");
  std::string text(header.text_bytes, '\0');
  HEED_RETURN_IF_ERROR(ReadInside(file, sizeof header, absl::MakeSpan(text)));
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (HashOf(text) != header.text_hash || lines.size() != 3) {
    return DamagedFile(file, sizeof header, "a wrong hash");
  }
  *offset = static_cast<int64_t>(sizeof header + text.size());
  return PackIdentity{lines[0], lines[1], lines[2]};
}

// Stamps are of one length, so nothing else moves. Should it fail, the next start hashes the
// checkpoint once more; should it be cut off half-way, the next start packs again.
void ReplaceHeader(const std::string& path, const PackIdentity& identity, int64_t size) {
  const std::string bytes = HeaderBytes(identity);
  if (static_cast<int64_t>(bytes.size()) != size) return;
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  if (pwrite(descriptor, bytes.data(), bytes.size(), 0) < 0) errno = 0;
  close(descriptor);
}

}  // namespace

absl::StatusOr<PackIdentity> ReadPackIdentity(const std::string& path) {
  HEED_ASSIGN_OR_RETURN(const auto file, File::Open(path, path));
  int64_t offset = 0;
  return ReadHeader(*file, &offset);
}

absl::StatusOr<std::unique_ptr<PackReader>> PackReader::Open(const std::string& path,
                                                             const PackIdentity& identity) {
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<File> file, File::Open(path, path));
  int64_t offset = 0;
  HEED_ASSIGN_OR_RETURN(const PackIdentity found, ReadHeader(*file, &offset));
  if (!found.Matches(identity)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the packed copy ", path, " is of ",
                     found.digest == identity.digest ? "another form" : "another checkpoint"));
  }
  if (found.stamp != identity.stamp) {
    ReplaceHeader(path, identity, offset);
    HEED_ASSIGN_OR_RETURN(file, File::Open(path, path));
  }
  return std::unique_ptr<PackReader>(new PackReader(std::move(file), offset));
}

absl::Status PackReader::Damaged(absl::string_view what) const {
  return DamagedFile(*file_, offset_, what);
}

absl::Status PackReader::Read(absl::Span<char> out) {
  HEED_RETURN_IF_ERROR(ReadInside(*file_, offset_, out));
  offset_ += static_cast<int64_t>(out.size());
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Linear>> PackReader::Next(absl::string_view name, int64_t rows,
                                                         int64_t cols, bool has_bias,
                                                         const Backend& backend,
                                                         PackedLayer* entry) {
  LayerHeader header{};
  HEED_RETURN_IF_ERROR(Read(BytesOf(header)));
  if (header.mark != kLayerMark || header.name_bytes > kMaxNameBytes ||
      header.span_count > kMaxSpans) {
    return Damaged("no layer begins like this");
  }
  entry->name.resize(header.name_bytes);
  std::vector<SpanHeader> spans(header.span_count);
  HEED_RETURN_IF_ERROR(Read(absl::MakeSpan(entry->name)));
  HEED_RETURN_IF_ERROR(
      Read({reinterpret_cast<char*>(spans.data()), spans.size() * sizeof(SpanHeader)}));
  if (HashOf(header, entry->name, spans) != header.hash) return Damaged("a wrong hash");
  entry->form = {header.rows, header.cols, header.bits, header.group, header.has_bias != 0};
  entry->lost = header.lost;
  if (entry->name != name || header.rows != rows || header.cols != cols ||
      entry->form.has_bias != has_bias) {
    return Damaged(absl::StrCat("not the layer ", name));
  }
  HEED_ASSIGN_OR_RETURN(std::unique_ptr<Linear> linear, backend.NewLinear(entry->form));
  const std::vector<absl::Span<char>> storage = linear->storage();
  if (storage.size() != spans.size()) return Damaged("another number of parts");
  for (size_t i = 0; i < spans.size(); ++i) {
    if (spans[i].bytes != static_cast<int64_t>(storage[i].size())) return Damaged("another size");
    HEED_RETURN_IF_ERROR(ReadValues(storage[i], spans[i].hash));
  }
  return linear;
}

// Each piece is hashed while it is in the cache.
absl::Status PackReader::ReadValues(absl::Span<char> out, uint64_t hash) {
  if (static_cast<int64_t>(out.size()) > file_->size() - offset_) {
    return Damaged("it ends too early");
  }
  std::vector<uint64_t> hashes((out.size() + kPieceBytes - 1) / kPieceBytes);
  std::vector<absl::Status> statuses(hashes.size());
  ForEachPiece(out, [&](int64_t piece) {
    const absl::Span<char> part = out.subspan(piece * kPieceBytes, kPieceBytes);
    statuses[piece] = file_->Read(offset_ + piece * kPieceBytes, part);
    hashes[piece] = XXH3_64bits(part.data(), part.size());
  });
  for (absl::Status& status : statuses) HEED_RETURN_IF_ERROR(std::move(status));
  if (XXH3_64bits(hashes.data(), hashes.size() * sizeof(uint64_t)) != hash) {
    return Damaged("a wrong hash of values");
  }
  offset_ += static_cast<int64_t>(out.size());
  return absl::OkStatus();
}

absl::Status PackReader::Finish() {
  uint32_t mark = 0;
  HEED_RETURN_IF_ERROR(Read(BytesOf(mark)));
  if (mark != kEndMark || offset_ != file_->size()) return Damaged("more than there should be");
  return absl::OkStatus();
}

namespace {

namespace fs = std::filesystem;

// What mkstemp makes a name of. A copy has such a name, and is locked, while it is written.
constexpr absl::string_view kUnfinished = ".XXXXXX";

// Removes copies that were begun beside `path` by processes that ended before they had finished.
void RemoveAbandoned(const fs::path& path) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path.parent_path(), error)) {
    const fs::path name = entry.path().filename();
    if (name.extension().native().size() != kUnfinished.size() ||
        name.stem().extension() != path.extension()) {
      continue;
    }
    const int descriptor = open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) unlink(entry.path().c_str());
    close(descriptor);
  }
}

// Opens and locks a new file beside `path`, and returns its name in `name`; -1, with errno.
int OpenUnfinished(const std::string& path, std::string* name) {
  constexpr int kAttempts = 10;
  for (int i = 0; i < kAttempts; ++i) {
    *name = absl::StrCat(path, kUnfinished);
    const int descriptor = mkstemp(name->data());
    if (descriptor < 0) return -1;
    const bool is_taken = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat facts;
    if (!is_taken && fstat(descriptor, &facts) == 0 && facts.st_nlink > 0) return descriptor;
    close(descriptor);  // another process took it for an abandoned one before it was locked
  }
  errno = EBUSY;
  return -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackWriter>> PackWriter::Create(const std::string& path,
                                                               const PackIdentity& identity) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  RemoveAbandoned(path);
  std::string temporary;
  const int descriptor = OpenUnfinished(path, &temporary);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
  fchmod(descriptor, 0644);
  std::FILE* const file = fdopen(descriptor, "wb");
  if (file == nullptr) {
    const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path));
    close(descriptor);
    unlink(temporary.c_str());
    return status;
  }
  std::unique_ptr<PackWriter> writer(new PackWriter(path, std::move(temporary), file));
  writer->Write(HeaderBytes(identity));
  return writer;
}

PackWriter::~PackWriter() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  unlink(temporary_.c_str());
}

absl::Status PackWriter::Failed() const {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path_));
}

void PackWriter::Write(absl::Span<const char> bytes) {
  if (!status_.ok()) return;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) status_ = Failed();
}

void PackWriter::Add(const PackedLayer& entry, Linear& linear) {
  if (!status_.ok()) return;
  const std::vector<absl::Span<char>> storage = linear.storage();
  std::vector<SpanHeader> spans;
  for (absl::Span<const char> span : storage) {
    spans.push_back({static_cast<int64_t>(span.size()), HashOfValues(span)});
  }
  LayerHeader header{};
  header.mark = kLayerMark;
  header.name_bytes = static_cast<uint32_t>(entry.name.size());
  header.rows = entry.form.rows;
  header.cols = entry.form.cols;
  header.group = entry.form.group;
  header.bits = entry.form.bits;
  header.has_bias = entry.form.has_bias ? 1 : 0;
  header.lost = entry.lost;
  header.span_count = spans.size();
  header.hash = HashOf(header, entry.name, spans);
  Write(BytesOf(header));
  Write(entry.name);
  Write({reinterpret_cast<const char*>(spans.data()), spans.size() * sizeof(SpanHeader)});
  for (absl::Span<const char> span : storage) Write(span);
}

absl::Status PackWriter::Finish() {
  uint32_t mark = kEndMark;
  Write(BytesOf(mark));
  HEED_RETURN_IF_ERROR(status_);
  if (std::fclose(std::exchange(file_, nullptr)) != 0 ||
      std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const absl::Status failed = Failed();
    unlink(temporary_.c_str());
    return failed;
  }
  return absl::OkStatus();
}

}  // namespace heed
