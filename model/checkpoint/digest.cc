#include "model/checkpoint/digest.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "model/base/status_macros.h"
#include "model/checkpoint/sha256.h"

namespace heed {
namespace {

// Few enough that they stay in a core's cache between being read and hashed.
constexpr int64_t kChunkBytes = int64_t{256} << 10;

void SortByName(std::vector<const File*>& files) {
  std::sort(files.begin(), files.end(),
            [](const File* a, const File* b) { return a->name() < b->name(); });
}

absl::StatusOr<std::string> Digits(Sha256& sha256) {
  const std::string digits = sha256.Finish();
  if (digits.empty()) return absl::InternalError("the crypto library cannot compute SHA-256");
  return digits;
}

// Calls read(bytes) after each piece, and ends with its error.
absl::Status AddFile(const File& file, absl::Span<char> buffer, Sha256& sha256,
                     absl::FunctionRef<absl::Status(int64_t bytes)> read) {
  sha256.Update(absl::StrCat(file.name(), absl::string_view("\0", 1), file.size(),
                             absl::string_view("\0", 1)));
  for (int64_t offset = 0; offset < file.size(); offset += kChunkBytes) {
    const auto size = static_cast<size_t>(std::min(kChunkBytes, file.size() - offset));
    const absl::Span<char> chunk = buffer.subspan(0, size);
    HEED_RETURN_IF_ERROR(file.Read(offset, chunk));
    sha256.Update({chunk.data(), chunk.size()});
    HEED_RETURN_IF_ERROR(read(static_cast<int64_t>(size)));
  }
  return file.CheckUnchanged();
}

}  // namespace

absl::StatusOr<std::string> DigestFiles(
    std::vector<const File*> files,
    const std::function<void(int64_t done, int64_t total)>& progress, const StopSignal& stop) {
  SortByName(files);
  Sha256 sha256;
  std::string buffer(static_cast<size_t>(kChunkBytes), '\0');
  int64_t done = 0, total = 0;
  for (const File* file : files) total += file->size();
  const auto advance = [&](int64_t bytes) {
    done += bytes;
    if (progress) progress(done, total);
    return stop.Check();
  };
  for (const File* file : files) {
    HEED_RETURN_IF_ERROR(AddFile(*file, absl::MakeSpan(buffer), sha256, advance));
  }
  HEED_ASSIGN_OR_RETURN(const std::string digits, Digits(sha256));
  return absl::StrCat("sha256:", digits);
}

absl::StatusOr<FileIdentity> IdentifyFiles(std::vector<const File*> files,
                                           const OpenOptions& options) {
  SortByName(files);
  FileIdentity identity;
  Sha256 sha256;
  for (const File* file : files) sha256.Update(file->stamp());
  HEED_ASSIGN_OR_RETURN(identity.stamp, Digits(sha256));
  if (!options.compute_digest) return identity;
  if (identity.stamp == options.known_stamp && !options.known_digest.empty()) {
    identity.digest = options.known_digest;
  } else {
    HEED_ASSIGN_OR_RETURN(identity.digest, DigestFiles(std::move(files), options.progress));
  }
  return identity;
}

}  // namespace heed
