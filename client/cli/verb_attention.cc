// heed attention: what the model looked at.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/attention_output.h"
#include "client/cli/attention_page.h"
#include "client/cli/npy.h"
#include "client/cli/output_file.h"
#include "client/cli/page.h"
#include "client/cli/progress.h"
#include "client/cli/prompt.h"
#include "client/cli/verbs.h"

namespace heed::cli {
namespace {

absl::Status ReadSelection(const Arguments& arguments, AttentionRequest& request) {
  for (const auto& [name, field] :
       {std::pair{"layer", &request.layers}, std::pair{"head", &request.heads}}) {
    if (!arguments.Has(name)) continue;
    auto indices = arguments.Ints(name);
    if (!indices.ok()) return indices.status();
    *field = *std::move(indices);
  }
  if (arguments.Has("query")) {
    const auto queries = arguments.Ints("query");
    if (!queries.ok()) return queries.status();
    request.queries.assign(queries->begin(), queries->end());
  }
  const auto top_k = arguments.Int("top-k", 1, std::numeric_limits<int32_t>::max());
  if (!top_k.ok()) return top_k.status();
  request.top_k = static_cast<int32_t>(top_k->value_or(0));
  for (const char* name : {"html", "npy"}) {
    if (request.top_k > 0 && arguments.Has(name)) {
      return UsageError(absl::StrCat("--top-k leaves weights out, and --", name,
                                     " needs them all; give one of the two."));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<AttentionRequest> ReadRequest(const Arguments& arguments, Session& session) {
  AttentionRequest request{.model = session.model()};
  const auto prompt = ReadPrompt(arguments, session);
  if (!prompt.ok()) return prompt.status();
  prompt->ApplyTo(request);
  if (absl::Status status = ReadSelection(arguments, request); !status.ok()) return status;
  return request;
}

// Runs the call, counting the bytes that have come for the progress line.
absl::StatusOr<AttentionMaps> Fetch(const AttentionRequest& request, Session& session) {
  auto client = session.client();
  if (!client.ok()) return client.status();
  Progress progress(session, "reading attention");
  double total_bytes = 0;
  double received_bytes = 0;
  const auto on_event = [&](const AttentionEvent& event) {
    if (const auto* header = std::get_if<AttentionHeader>(&event)) {
      total_bytes = static_cast<double>(header->total_bytes);
    } else if (const auto* tile = std::get_if<AttentionTile>(&event); tile && total_bytes > 0) {
      received_bytes += 4.0 * static_cast<double>(tile->weights.size());
      progress.Update(std::min(1.0, received_bytes / total_bytes));
    }
  };
  return (*client)->Attention(request, on_event, session.call_options());
}

absl::Status WriteFiles(const AttentionMaps& maps, const Arguments& arguments, Session& session) {
  const AttentionHeader& header = maps.header;
  if (arguments.Has("npy")) {
    const std::vector<int64_t> shape = {
        static_cast<int64_t>(header.layers.size()), static_cast<int64_t>(header.heads.size()),
        static_cast<int64_t>(header.queries.size()), header.key_count};
    const std::string what = absl::StrCat("float32 [", shape[0], " layers, ", shape[1], " heads, ",
                                          shape[2], " queries, ", shape[3], " keys]");
    absl::Status status =
        WriteOutputFile(session, arguments.String("npy"), what,
                        [&](std::ostream& file) { return WriteNpy(file, shape, maps.weights); });
    if (!status.ok()) return status;
  }
  if (!arguments.Has("html")) return absl::OkStatus();
  return WritePage(arguments, session, AttentionPage(maps, FirstView(maps)));
}

absl::Status RunAttention(const Arguments& arguments, Session& session) {
  auto request = ReadRequest(arguments, session);
  if (!request.ok()) return request.status();
  if (!arguments.Has("literal")) {
    if (absl::Status status = FillBlanks(request->text, session); !status.ok()) return status;
  }
  const auto maps = Fetch(*request, session);
  if (!maps.ok()) return maps.status();
  if (absl::Status status = WriteFiles(*maps, arguments, session); !status.ok()) return status;
  if (session.json()) {
    WriteAttentionJson(*maps, session);
  } else if (maps->top_k > 0) {
    PrintTopKeys(*maps, session);
  } else if (!arguments.Has("html") && !arguments.Has("npy")) {
    PrintAttention(*maps, session);
  }
  return absl::OkStatus();
}

std::vector<OptionSpec> AttentionOptions() {
  std::vector<OptionSpec> options = {
      {"layer", "L", "Layers, for example 0,2 or -1 for the last; default all.",
       /*repeatable=*/true},
      {"head", "H", "Heads, in the same way; default all.", /*repeatable=*/true},
      {"query", "N", "Query positions, the rows; -1 is the last; default all.",
       /*repeatable=*/true},
      {"top-k", "K", "List only the K strongest keys of each row."},
      HtmlOption(),
      {"npy", "FILE", "Write the weights as float32 [layers, heads, queries, keys]."},
  };
  for (OptionSpec& option : PromptOptions()) options.push_back(option);
  return options;
}

}  // namespace

Verb AttentionVerb() {
  return {
      .name = "attention",
      .operands = "PROMPT",
      .max_operands = 1,
      .summary = "Show what the model looked at.",
      .description =
          "PROMPT is the text, or - for standard input. Of one head, the whole map is shown: rows "
          "are queries, columns keys, each row sums to 1. Of several, first what the last row of "
          "each head reads from, then the map of the head that says most. A weight says where a "
          "head read from, not what the answer depended on. A blank, ____, is the mask of a model "
          "that fills masks.",
      .example = "heed attention \"the keys to the cabinet\" --html=attention.html",
      .options = AttentionOptions(),
      .run = RunAttention};
}

}  // namespace heed::cli
