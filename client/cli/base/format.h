// Numbers and facts as people read them.
#ifndef HEED_CLIENT_CLI_BASE_FORMAT_H_
#define HEED_CLIENT_CLI_BASE_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/types.h"

namespace heed::cli {

std::string FormatCount(int64_t count);         // 1,234,567
std::string FormatBytes(int64_t bytes);         // 7.4 MiB
std::string FormatMillis(absl::Duration time);  // 3.4 ms, 1.25 s
std::string FormatProbability(double p);  // 0.412; 4.1e-05 when the three digits would be lost
std::string FormatWeight(
    double weight);  // four columns at most: .71, 1.0, .00 when tiny, 0 when exactly zero
std::string FormatNats(double nats);                 // 1.46 nats
std::string ShortDigest(const std::string& digest);  // sha256:0123456789ab

// "12 tokens", "1 token".
std::string Plural(int64_t count, absl::string_view noun);

// "The first 12 rows", "The first row".
std::string TheFirst(int64_t count, absl::string_view noun);

absl::Duration Total(const Timings& timings);
std::string FormatTimings(
    const Timings& timings);  // "3.4 ms", with its parts when any is worth knowing

// "the first 1055 tokens were dropped"; empty when none were.
std::string FormatDropped(const PromptInfo& prompt);

// "1 edit"; empty for none.
std::string FormatEdits(const Provenance& provenance);

const char* Name(AttentionDirection direction);
const char* Name(Capability capability);
const char* Name(Mixing mixing);
const char* Name(FinishReason reason);
const char* Name(Truncation truncation);
const char* Name(Serving serving);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_BASE_FORMAT_H_
