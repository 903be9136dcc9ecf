// Answers as files for other programs: NumPy's .npy, safetensors, and CSV.
#ifndef HEED_CLIENT_CLI_PAGES_EXPORT_H_
#define HEED_CLIENT_CLI_PAGES_EXPORT_H_

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/base/arguments.h"
#include "client/cli/base/session.h"
#include "client/cli/pages/page.h"

namespace heed::cli {

// One dimension of an export: what each of its places is called.
struct ExportAxis {
  std::string name;                 // "layer"
  std::vector<std::string> labels;  // "0", "1", ...
  std::vector<std::string> texts;   // the tokens at these places; empty: no tokens
};

struct ExportTensor {
  std::string name;
  std::vector<float> values;   // row-major
  std::vector<int64_t> shape;  // of tensors that do not have the export's axes
};

// A text for each place of an export's one axis.
struct ExportTexts {
  std::string name;
  std::vector<std::string> texts;
};

struct Export {
  std::vector<ExportAxis> axes;
  std::vector<ExportTexts> texts;  // columns of a CSV behind the axis, metadata of a safetensors
  // All with these axes; .npy holds the first, the columns of a CSV are the axes and these.
  std::vector<ExportTensor> tensors;
  std::vector<ExportTensor> others;             // in safetensors only; with a shape of their own
  std::map<std::string, std::string> metadata;  // in safetensors only
};

// An axis of numbers; one of all tokens of a prompt; one of some of them, by their positions.
template <typename Numbers>
ExportAxis NumberAxis(std::string name, const Numbers& numbers) {
  ExportAxis axis{std::move(name), {}, {}};
  for (const auto number : numbers) axis.labels.push_back(std::to_string(number));
  return axis;
}
ExportAxis TokenAxis(std::string name, const std::vector<std::string>& texts);
template <typename Positions>
ExportAxis TokenAxis(std::string name, const Positions& positions,
                     const std::vector<std::string>& texts) {
  ExportAxis axis = NumberAxis(std::move(name), positions);
  for (const int64_t position : positions) {
    axis.texts.push_back(texts[static_cast<size_t>(position)]);
  }
  return axis;
}

// A list of texts as a value of metadata: JSON.
std::string JsonTexts(const std::vector<std::string>& texts);

// Adds where the numbers come from to the metadata; `texts` are the prompt's tokens as they are.
void AddSource(const PageSource& source, const std::vector<std::string>& texts, Export* data);

// Each writes a whole file. DATA_LOSS when the stream does not take it all.
absl::Status WriteSafetensors(std::ostream& out, const Export& data);
// Fields are quoted where RFC 4180 asks for it; numbers read back as the same floats.
absl::Status WriteCsv(std::ostream& out, const Export& data);

// --html, --output and --format.
std::vector<OptionSpec> FileOptions();

// The format of --output, by --format or else by the end of the name: one of npy, safetensors, csv
// and `more`. A usage error otherwise.
absl::StatusOr<std::string> ReadFormat(const Arguments& arguments,
                                       const std::vector<std::string>& more = {});

// Writes the files of --html and --output where they are given. True when one was and the answer
// need not be printed too.
absl::StatusOr<bool> WroteFiles(const Arguments& arguments, Session& session,
                                absl::FunctionRef<std::string()> page,
                                absl::FunctionRef<Export()> data);
// A usage error when --output has no format that is known; so that it is told before the call.
absl::Status CheckFileOptions(const Arguments& arguments);
// Writes a file in one of the common formats.
absl::Status WriteExport(const std::string& path, Session& session, const std::string& format,
                         const Export& data);

}  // namespace heed::cli

#endif  // HEED_CLIENT_CLI_PAGES_EXPORT_H_
